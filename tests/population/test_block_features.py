"""A population gives the output of every block of its candidates, shared ones once."""

from __future__ import annotations

import pytest
import torch

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import extract_features
from tvtfast.population import Population
from tvtfast.population import population as population_module
from tvtfast.proxies import Proxy
from tvtfast.spaces.steps import MLP

CASES = [
    ("pit", {"img_size": (32, 48), "patch_size": 8, "distilled": True}),
    (
        spaces.VitasDeitSpace("deit", (14, 16, 32), (12, 24), 4, 1, (2, 3), (36, 72), (24, 48)),
        {"img_size": (48, 32), "patch_size": 8},
    ),
    (
        spaces.VitasTwinsSpace(
            "twins",
            (spaces.StageChoices((12, 24), 3, ("local", "global"), (2, 3), (36, 72), (24, 48)),)
            * 4,
        ),
        {"img_size": (72, 64), "patch_size": 16},
    ),
    pytest.param(
        "autoformer-original-tiny",
        {"img_size": (16, 32), "patch_size": 8},
        marks=pytest.mark.slow,
    ),
]
PIT = spaces.get("pit")


def draw_images(size, count=2):
    size = (size, size) if isinstance(size, int) else size
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0)).double()


def blocks_of(population, images):
    found = {}
    entries = 0
    for given in population.block_features(images):
        one_by_one = zip(given.blocks, given.rows, given.ended, given.features.x, strict=True)
        for block, rows, ended, x in one_by_one:
            entries += 1
            for row in rows:
                place = found.setdefault(row, [])
                assert block == len(place), "first to last, each once"
                place.append((x, given.features.grid, given.features.prefix_tokens, row in ended))
    return found, entries


@pytest.mark.parametrize(("space", "options"), CASES)
def test_blocks_are_those_of_modules(space, options):
    space = spaces.get(space)
    archs = sorted(space.sample(12, 0, **options), key=space.params)[:4]
    images = draw_images(options["img_size"])
    population = Population([*archs, archs[0]], space=space, seed=3, dtype=torch.float64, **options)
    found, entries = blocks_of(population, images)
    assert sorted(found) == list(range(5))
    assert entries < sum(map(len, found.values())), "equal candidates are computed once"
    for row, arch in enumerate(archs):
        module = tvtfast.build(arch, space=space, seed=3, **options).double().eval()
        with torch.no_grad():
            expected = extract_features(module, images)
        assert [one.grid for one in expected] == [grid for _, grid, _, _ in found[row]]
        assert [ended for *_, ended in found[row]] == [False] * (len(expected) - 1) + [True]
        assert [step.grid for step in population.blocks(row)] == [one.grid for one in expected]
        for one, (x, _, prefix, _) in zip(expected, found[row], strict=True):
            assert prefix == one.prefix_tokens
            torch.testing.assert_close(x, one.x, rtol=1e-9, atol=1e-9)


def test_without_memory_unfinished_candidates_begin_again(monkeypatch):
    options = {"img_size": 48, "num_classes": 7}
    archs = PIT.sample(4, 0, **options)
    population = Population(archs, space=PIT, dtype=torch.float64, **options)
    images = draw_images(48)
    expected, _ = blocks_of(population, images)
    forward, failures = population_module.forward, iter((3, 5))

    def failing(*arguments):
        after = next(failures, None)
        for count, given in enumerate(forward(*arguments)):
            if count == after:
                raise MemoryError("no memory")
            yield given

    monkeypatch.setattr(population_module, "forward", failing)
    found = {}
    for given in population.block_features(images):
        for block, rows, x in zip(given.blocks, given.rows, given.features.x, strict=True):
            found |= {(row, block): x for row in rows}
    assert next(failures, None) is None, "both failures were met"
    for row, blocks in expected.items():
        for block, (x, *_) in enumerate(blocks):
            torch.testing.assert_close(found.pop((row, block)), x, rtol=1e-9, atol=1e-9)
    assert not found


def test_shared_blocks_are_measured_once():
    """Two proxies with one measure of blocks, candidates that begin alike."""
    seen = []

    def measure(inputs, block):
        seen.append(block)
        return float(block + inputs.features.x.shape[-1])

    needs = frozenset({"weights", "images"})
    whole = Proxy("whole", lambda inputs: 0.0, needs=needs, per_block=measure, of_blocks=sum)
    least = Proxy("least", lambda inputs: 0.0, needs=needs, per_block=measure, of_blocks=min)
    archs = PIT.sample(3, 0)
    images = draw_images(32).float()
    table = tvtfast.score(
        [*archs, *archs], space=PIT, proxies=(whole, least), images=images, patch_size=8
    )
    assert len(seen) <= sum(sum(arch.depth) for arch in archs)
    for row, arch in enumerate(archs):
        widths = [
            arch.base_dim * heads
            for heads, depth in zip(arch.num_heads, arch.depth, strict=True)
            for _ in range(depth)
        ]
        values = [block + width for block, width in enumerate(widths)]
        assert table.to_pandas()["whole"][row] == table.to_pandas()["whole"][row + 3] == sum(values)
        assert table.to_pandas()["least"][row] == min(values)


def test_a_block_without_value_gives_its_reason_to_those_that_have_it():
    def measure(inputs, block):
        if block == 1:
            raise proxies.UndefinedScoreError("block 1 is odd")
        return 1.0

    odd = Proxy(
        "odd",
        lambda inputs: 0.0,
        needs=frozenset({"weights", "images"}),
        per_block=measure,
        of_blocks=sum,
    )
    images = draw_images(32).float()
    table = tvtfast.score(PIT.sample(2, 0), space=PIT, proxies=(odd,), images=images, patch_size=8)
    assert table.status["odd"].tolist() == ["nan"] * 2
    assert table.reasons["odd"][0] == "UndefinedScoreError: block 1 is odd"
    with pytest.raises(ValueError, match="one of per_block and of_blocks"):
        Proxy("half", lambda inputs: 0.0, per_block=measure)


def test_blocks_that_the_model_does_not_have_are_no_short_cut(monkeypatch):
    monkeypatch.setattr(MLP, "ends_block", False)
    images = draw_images(32).float()
    settings = {"space": PIT, "proxies": ("az_expressivity",), "images": images, "patch_size": 8}
    with pytest.raises(RuntimeError, match=r"'pit' states 0 blocks.* set ends_block"):
        tvtfast.score(PIT.sample(2, 0), **settings)
    monkeypatch.setenv("TVTFAST_STRICT", "0")
    with pytest.warns(tvtfast.FallbackWarning, match="set ends_block"):
        alone = tvtfast.score(PIT.sample(2, 0), **settings)
    monkeypatch.undo()
    together = tvtfast.score(PIT.sample(2, 0), **settings)
    assert alone.to_pandas()["az_expressivity"].tolist() == pytest.approx(
        together.to_pandas()["az_expressivity"].tolist(), rel=1e-4
    )
