"""What is searched and what can be built are two things."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tvtfast
from tvtfast import spaces
from tvtfast.supernet.extraction import cut_out
from tvtfast.supernet.superformer import Superformer

AUTOFORMER_T = {
    "hidden_dim": 192,
    "depth": 13,
    "mlp_ratio": [3.5, 3.5, 3.0, 3.5, 3.0, 3.0, 4.0, 4.0, 3.5, 4.0, 3.5, 4.0, 3.5],
    "num_heads": [3] * 10 + [4, 3, 3],
}
"""AutoFormer-T, as its authors publish it; the space they publish beside it has no ratio 3.0."""
PIT_DEFAULT = {"base_dim": 40, "mlp_ratio": 2, "depth": [2, 4, 4], "num_heads": [2, 4, 8]}
OUTSIDE = [
    ("autoformer-original-tiny", AUTOFORMER_T, r"mlp_ratio\[2\] is 3.0; searched: 3.5, 4.0"),
    ("autoformer-tiny", AUTOFORMER_T, r"mlp_ratio\[2\] is 3.0; searched: 3.5, 4.0"),
    ("pit", PIT_DEFAULT, r"depth is \(2, 4, 4\); searched: "),
    (
        "pit",
        {"base_dim": 36, "mlp_ratio": 6, "depth": [1, 4, 4], "num_heads": [3, 12, 12]},
        "base_dim is 36; searched: 16, 24, 32, 40",
    ),
    ("asvit", "9,3,3|4,1,2|2,1,1|4,1,6|40", r"kernels\[0\] is 9; searched: 4, 5"),
    ("vitas-deit", "", r"mlp_dim\[0\] is 768; searched: 144, 288"),
    ("vitas-deit-cell", "", r"mlp_dim\[0\] is 768; searched: 144, 288"),
    ("vitas-twins", "", r"embed_dim\[0\] is 64; searched: 10, 19"),
]
DEIT_TINY = {
    "patch_size": 16,
    "embed_dim": 192,
    "depth": 12,
    "num_heads": [3] * 12,
    "qkv_dim": [576] * 12,
    "mlp_dim": [768] * 12,
}
TWINS = {
    "embed_dim": [64, 40, 48, 96],
    "depth": [1, 1, 2, 1],
    "attention": ["local", "global", "local", "global", "local"],
    "num_heads": [1, 5, 2, 3, 7],
    "qkv_dim": [192, 75, 36, 45, 84],
    "mlp_dim": [11, 12, 13, 14, 15],
}
NAMED = {"vitas-deit": DEIT_TINY, "vitas-deit-cell": DEIT_TINY, "vitas-twins": TWINS}
outside = pytest.mark.parametrize(
    ("space", "arch", "why"),
    [(spaces.get(name), arch or NAMED[name], why) for name, arch, why in OUTSIDE],
    ids=[f"{name}-{place}" for place, (name, _, _) in enumerate(OUTSIDE)],
)


@outside
def test_a_sound_architecture_outside_is_one_of_the_family(space, arch, why):
    decoded = space.decode(arch)
    assert space.decode(space.encode(arch)) == decoded
    assert not space.contains(arch)
    with pytest.raises(ValueError, match=f"{space.name}: {why}.*; it can be built and scored"):
        space.check_inside(arch)
    note = space.note_outside([decoded, *space.sample(2)])
    assert note.startswith(f"1 of 3 are none that a search of '{space.name}' would propose (")
    assert space.note_outside(space.sample(3)) == ""


@outside
def test_drawing_and_varying_stay_inside(space, arch, why):
    inside = space.sample(1)[0]
    assert all(space.contains(one) for one in space.sample(20, 3))
    for refused in (
        lambda: space.mutate(arch),
        lambda: space.crossover(inside, arch),
        lambda: space.crossover(arch, inside),
    ):
        with pytest.raises(ValueError, match=why):
            refused()
    if not isinstance(space, spaces.AutoFormerSpace):
        with pytest.raises(ValueError, match=why):
            space.choices_of(arch)


@outside
def test_it_is_built_and_counted(space, arch, why):
    options = {"num_classes": 5, "img_size": 64, "distilled": True}
    model = tvtfast.build(arch, space=space, **options)
    assert sum(p.numel() for p in model.parameters()) == space.params(arch, **options)
    (table_params,) = tvtfast.score([arch], space=space, proxies="params", **options)["params"]
    assert table_params == space.params(arch, **options)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_published_parameters_of_autoformer_tiny():
    space = spaces.get("autoformer-original-tiny")
    assert space.params(AUTOFORMER_T, num_classes=1000) == pytest.approx(5.8e6, rel=0.02)


def test_scores_say_it_once(caplog):
    space = spaces.get("autoformer-tiny")
    architectures = [AUTOFORMER_T, *space.sample(2), AUTOFORMER_T]
    table = tvtfast.score(architectures, space=space, proxies="weight_norm")
    (note,) = table.notes
    assert "2 of 4 are none that a search of 'autoformer-tiny' would propose" in note
    assert note in repr(table)
    assert [record.getMessage() for record in caplog.records] == [note]
    assert table["weight_norm"][0] == table["weight_norm"][3] > 0
    assert tvtfast.score(space.sample(2), space=space, proxies="weight_norm").notes == ()


def test_a_strategy_that_proposes_it_is_told():
    def strategy(space, budget):
        yield [space.decode(PIT_DEFAULT)]

    with pytest.raises(ValueError, match="here an architecture has to be one that the space sear"):
        tvtfast.search("pit", strategy=strategy, trials=1, proxies="params")


def test_a_superformer_has_no_weights_for_it():
    space = spaces.VitasDeitSpace("tiny", (16,), (12, 24), 2, 1, (2,), (12, 24), (12, 24))
    superformer = Superformer(space, img_size=32, num_classes=3)
    inside = space.sample(1)[0]
    assert cut_out(superformer, inside).arch == inside
    with pytest.raises(ValueError, match="embed_dim is 18; searched: 12, 24; it can be built and"):
        cut_out(superformer, replace(inside, embed_dim=18))


@st.composite
def sound(draw):
    """Sound architectures of every family, with numbers that nobody searches."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    depth = rng.randint(1, 3)

    def per_block(low, high):
        return [rng.randint(low, high) for _ in range(depth)]

    heads = per_block(1, 5)
    dim = 60 * rng.randint(1, 3)
    ratios = [rng.choice((0.5, 1.3, 3.0, 5.7)) for _ in range(depth)]
    autoformer = {"hidden_dim": dim, "depth": depth, "mlp_ratio": ratios, "num_heads": heads}
    first, second, third = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 2)
    pit = {
        "base_dim": rng.randint(1, 13),
        "mlp_ratio": rng.randint(1, 5),
        "depth": [rng.randint(1, 2) for _ in range(3)],
        "num_heads": [first, first * second, first * second * third],
    }
    deit = {
        "patch_size": rng.choice((8, 16, 32)),
        "embed_dim": rng.randint(1, 50),
        "depth": depth,
        "num_heads": heads,
        "qkv_dim": [3 * count * rng.randint(1, 9) for count in heads],
        "mlp_dim": per_block(1, 40),
    }
    depths = [rng.randint(1, 2) for _ in range(4)]
    twin_heads = [rng.randint(1, 5) for _ in range(sum(depths))]
    twins = {
        "embed_dim": [rng.randint(1, 40) for _ in range(4)],
        "depth": depths,
        "attention": [rng.choice(("local", "global")) for _ in twin_heads],
        "num_heads": twin_heads,
        "qkv_dim": [3 * count * rng.randint(1, 9) for count in twin_heads],
        "mlp_dim": [rng.randint(1, 40) for _ in twin_heads],
    }
    asvit = {
        "kernels": [rng.randint(4, 11), *(rng.randint(2, 6) for _ in range(3))],
        "splits": [rng.randint(1, 9) for _ in range(4)],
        "expansions": [rng.randint(1, 8) for _ in range(4)],
        "heads": 8 * rng.randint(1, 3),
        "depths": [rng.randint(1, 2) for _ in range(4)],
        "width": rng.randint(3, 20),
    }
    families = {
        "autoformer-tiny": autoformer,
        "autoformer-original-tiny": autoformer,
        "pit": pit,
        "vitas-deit": deit,
        "vitas-twins": twins,
        "asvit": asvit,
    }
    return draw(st.sampled_from(sorted(families.items())))


@settings(max_examples=20, deadline=None)
@given(given=sound(), distilled=st.booleans())
def test_counts_of_any_sound_architecture_are_those_of_its_module(given, distilled):
    name, arch = given
    space = spaces.get(name)
    options = {"num_classes": 3, "img_size": 64, "patch_size": 16, "distilled": distilled}
    model = tvtfast.build(arch, space=space, **options)
    assert sum(p.numel() for p in model.parameters()) == space.params(arch, **options)
    (flops,) = tvtfast.score([model], proxies="flops", images=torch.zeros(1, 3, 64, 64))["flops"]
    assert flops == space.flops(arch, **options)
