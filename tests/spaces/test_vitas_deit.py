"""The ViTAS spaces over DeiT: published genotypes and counts, canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.spaces.vitas_deit import tenths
from tvtfast.spaces.vitas_flops import original_flops

DEIT = spaces.get("vitas-deit")
LARGE = spaces.get("vitas-deit-large")

RELEASED = [
    (
        DEIT,
        "1 2 4 3 4 4 1 3 4 3 4 4 4 4 3 3 4 0 0 3 1 6 7 9 4 3 6 8 4 9 1 8 6 4 9 2 7 6 8 9 3 0 3 8 7"
        " 0 5 7 9 8 4 4",
        (16, 154, 7),
        858_652_480,
    ),
    (
        DEIT,
        "1 3 4 4 3 4 3 4 4 2 2 4 2 3 4 4 1 0 0 4 1 5 1 6 2 2 2 3 2 9 2 6 3 9 5 7 7 5 6 4 8 1 5 3 2"
        " 8 5 9 2 4 5 5",
        (16, 192, 8),
        990_624_768,
    ),
    (
        DEIT,
        "1 3 4 3 4 3 1 4 0 4 2 1 2 4 2 1 2 0 0 8 4 4 1 7 6 5 3 8 5 6 5 6 3 6 3 4 4 4 8 8 8 7 4 0 4"
        " 5 9 5 3 6 7 8",
        (16, 346, 11),
        2_706_797_632,
    ),
    (
        LARGE,
        "1 3 3 3 3 3 3 3 3 3 3 3 3 3 0 0 3 2 5 0 7 5 2 3 6 6 2 4 4 8 7 4 6 7 2 6 1 6 6 4 7 5 7",
        (16, 307, 13),
        4_930_994_656,
    ),
]
CELL = {
    "patch_size": 16,
    "embed_dim": 230,
    "depth": 12,
    "num_heads": [3] * 12,
    "qkv_dim": [432] * 12,
    "mlp_dim": [720] * 12,
}

genes = st.lists(st.integers(0, 9), min_size=32, max_size=32)
blocks = st.lists(st.integers(0, 4), min_size=16, max_size=16).filter(lambda ids: set(ids) != {4})


@pytest.mark.parametrize(("space", "genotype", "expected", "flops"), RELEASED)
def test_released_genotypes_decode_to_their_published_cost(space, genotype, expected, flops):
    arch = space.decode(genotype)
    assert (arch.patch_size, arch.embed_dim, arch.depth) == expected
    assert space.original_flops(genotype) == flops
    assert space.decode(space.genotype(arch)) == arch


def test_the_counter_of_the_released_code():
    assert DEIT.original_flops(CELL) == 1_303_042_496
    assert original_flops(16, 192, [(576, 768)] * 12) == 1_284_003_840
    assert original_flops(16, 384, [(1152, 1536)] * 12) == 4_648_906_752


def test_widths_are_tenths():
    assert DEIT.embed_dims == (38, 77, 115, 154, 192, 230, 269, 307, 346, 384)
    assert DEIT.qkv_dims == DEIT.mlp_dims == tuple(range(144, 1441, 144))
    assert LARGE.embed_dims == tenths(768)
    assert all(qkv // 3 % heads == 0 for qkv in DEIT.qkv_dims for heads in DEIT.head_counts)


def test_a_small_space_is_listed_once():
    small = spaces.VitasDeitSpace("small", (16, 32), (8,), 3, 1, (1, 2), (6, 12), (8,))
    everything = small.enumerate()
    assert len(everything) == len(set(everything)) == small.size == 2 * (4 + 16 + 64)


def test_size_counts_canonical_forms():
    assert DEIT.size == 3 * 10 * sum(400**depth for depth in range(1, 17))
    assert LARGE.size == 3 * 10 * 400**13


@given(patch=st.integers(0, 2), width=st.integers(0, 9), ids=blocks, widths=genes)
def test_every_genotype_has_one_canonical_form(patch, width, ids, widths):
    genotype = [patch, *ids, 0, 0, width, *widths]
    arch = DEIT.decode(genotype)
    canonical = DEIT.genotype(arch)
    assert DEIT.genotype(canonical) == canonical and DEIT.decode(canonical) == arch
    depth = arch.depth
    assert 4 not in canonical[1 : 1 + depth] and set(canonical[1 + depth : 17]) <= {4}
    active = [slot for slot, block in enumerate(ids) if block != 4]
    assert [canonical[1 + place] for place in range(depth)] == [ids[slot] for slot in active]
    pairs = [tuple(widths[2 * slot : 2 * slot + 2]) for slot in active]
    pairs += [(0, 0)] * (16 - depth)
    assert list(zip(canonical[20::2], canonical[21::2], strict=True)) == pairs
    dead = [g if slot in active else 9 - g for slot in range(16) for g in widths[2 * slot :][:2]]
    assert DEIT.decode([patch, *ids, 0, 0, width, *dead]) == arch


@given(seed=st.integers(0, 2**32), shuffled=st.randoms(use_true_random=False))
def test_choices_with_identities_anywhere_are_one_architecture(seed, shuffled):
    arch = DEIT.sample(1, seed)[0]
    patch, dim, *genes = DEIT.choices_of(arch)
    slots = [genes[start : start + 3] for start in range(0, len(genes), 3)]
    first, rest = slots[:1], slots[1:]
    active = [slot for slot in rest if slot[0] != 4]
    places = sorted(shuffled.sample(range(15), len(active)))
    moved = [[4, shuffled.randrange(10), shuffled.randrange(10)] for _ in rest]
    for place, slot in zip(places, active, strict=True):
        moved[place] = slot
    scattered = [patch, dim, *(gene for slot in (*first, *moved) for gene in slot)]
    assert DEIT.from_choices(scattered) == arch


def test_identities_in_a_dictionary():
    moved = CELL | {
        "num_heads": [3, 0, *[3] * 11],
        "qkv_dim": [432, 1, *[432] * 11],
        "mlp_dim": [720, 1, *[720] * 11],
    }
    assert DEIT.decode(moved) == DEIT.decode(CELL)
    with pytest.raises(ValueError, match="depth is 13 and 12 blocks are active"):
        DEIT.decode(moved | {"depth": 13})


def test_drawing_with_a_probability():
    import random

    rng = random.Random(0)
    depths = [DEIT.draw_active(rng, 0.5).depth for _ in range(400)]
    assert 7.5 < sum(depths) / 400 < 8.5
    assert {DEIT.draw_active(rng, 1.0).depth for _ in range(5)} == {1}
    assert {DEIT.draw_active(rng, 0.0).depth for _ in range(5)} == {16}


def test_patches_scale_with_the_option():
    flops = [
        DEIT.flops(CELL | {"patch_size": 32}, img_size=224, num_classes=10),
        DEIT.flops(CELL | {"patch_size": 16}, img_size=224, patch_size=32, num_classes=10),
    ]
    assert flops[0] == flops[1]
    with pytest.raises(ValueError, match="patches of 32 pixels on images of"):
        DEIT.flops(CELL | {"patch_size": 32}, img_size=16)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("1 2 3", "a genotype of 3 integers; it has 52"),
        ("1 2 x", "neither a JSON object nor a genotype"),
        ([3] + [0] * 51, "patch id 3 in the genotype; allowed: 0 to 2"),
        ([1] + [4] * 16 + [0] * 35, "all blocks are identities"),
        (CELL | {"embed_dim": 231}, "embed_dim is 231; searched: 38, 77"),
        (CELL | {"qkv_dim": [432] * 11}, "qkv_dim is .* one entry per block"),
        (CELL | {"num_heads": [3] * 11 + [4]}, r"num_heads\[11\] is 4; searched: 3, 6, 12, 16"),
        (CELL | {"num_heads": [3] * 11 + [5]}, r"qkv_dim\[11\] is 432 for 5 heads; .* of 15"),
        (CELL | {"mlp_dim": [720] * 11 + [-1]}, r"mlp_dim\[11\] is -1; give 1 to 100,000"),
    ],
)
def test_invalid_architectures(encoded, message):
    with pytest.raises(ValueError, match=message):
        DEIT.check_inside(encoded)


def test_the_cell_space_repeats_one_block():
    cell = spaces.get("vitas-deit-cell")
    assert cell.size == len(cell.enumerate()) == 10 * 4 * 10 * 10
    assert cell.original_flops(CELL) == 1_303_042_496
    assert cell.decode(cell.genotype(CELL)) == cell.decode(CELL) == DEIT.decode(CELL)
    with pytest.raises(ValueError, match="searched: blocks that are all alike"):
        cell.check_inside(CELL | {"num_heads": [3] * 11 + [6]})


def test_the_large_space_has_no_identities():
    arch = LARGE.sample(1)[0]
    assert arch.depth == 13
    with pytest.raises(ValueError, match="depth is 12; searched: 13"):
        LARGE.check_inside([1] + [0] * 12 + [4] + [0] * 29)


def test_cells_beyond_the_limit_are_drawn():
    numbers = tuple(range(12, 12 * 1200, 12))
    space = spaces.VitasCellSpace("x", (16,), (24, 36), 2, 2, (1,), numbers, numbers)
    assert space.size > 1_000_000 and not space.enumerable
    assert len(space.sample(5, 0)) == 5
    with pytest.raises(spaces.NotEnumerableError, match="too many to enumerate"):
        space.enumerate()
