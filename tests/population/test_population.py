"""A population gives what its candidates give one by one, in whatever order and cuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tvtfast
from tvtfast import kernels, proxies, spaces
from tvtfast.kernels.backend.native import missing
from tvtfast.models import last_features
from tvtfast.population import Population, engine, layers
from tvtfast.population import memory as memory_module
from tvtfast.population import population as population_module
from tvtfast.spaces.steps import MLP, SelfAttention

CASES = [
    ("autoformer-tiny", {"img_size": 32, "patch_size": 8, "num_classes": 10}),
    ("autoformer-tiny", {"img_size": (16, 32), "patch_size": 8, "distilled": True}),
    ("autoformer-original-tiny", {"img_size": (16, 32), "patch_size": 8}),
    ("pit", {"img_size": 48, "num_classes": 7}),
    ("pit", {"img_size": (48, 64), "distilled": True}),
    (
        spaces.VitasDeitSpace("deit", (14, 16, 32), (12, 24), 4, 1, (2, 3), (36, 72), (24, 48)),
        {"img_size": (48, 32), "patch_size": 8, "distilled": True},
    ),
    (
        spaces.VitasTwinsSpace(
            "twins",
            (spaces.StageChoices((12, 24), 3, ("local", "global"), (2, 3), (36, 72), (24, 48)),)
            * 4,
        ),
        {"img_size": (72, 64), "patch_size": 16},
    ),
]


def draw_images(options, count=3):
    side = options["img_size"]
    size = (side, side) if isinstance(side, int) else side
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def features_of(population, images, **arguments):
    found = {}
    for entry in population.features(images, **arguments):
        for rows, x in zip(entry.rows, entry.features.x, strict=True):
            for row in rows:
                assert row not in found, "a candidate comes once"
                found[row] = x, entry.features.grid, entry.features.prefix_tokens
    return found


@pytest.fixture(params=CASES, ids=lambda case: f"{spaces.get(case[0]).name}-{case[1]['img_size']}")
def case(request):
    name, options = request.param
    space = spaces.get(name)
    archs = space.sample(5, 0, **options)
    return space, [*archs, archs[1]], options, draw_images(options)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_features_of_modules(case, dtype):
    space, archs, options, images = case
    population = Population(archs, space=space, seed=3, dtype=dtype, **options)
    found = features_of(population, images)
    assert sorted(found) == list(range(len(archs)))
    bound = 1e-5 if dtype == torch.float32 else 1e-13
    for row, arch in enumerate(archs):
        module = tvtfast.build(arch, space=space, seed=3, **options).to(dtype)
        with torch.no_grad():
            expected = last_features(module, images.to(dtype))
        x, grid, prefix_tokens = found[row]
        assert (grid, prefix_tokens) == (expected.grid, expected.prefix_tokens)
        assert (x - expected.x).abs().max() <= bound * expected.x.abs().max()


def test_half_precision_is_close(case):
    space, archs, options, images = case
    exact = features_of(Population(archs, space=space, **options), images)
    half = features_of(Population(archs, space=space, dtype=torch.bfloat16, **options), images)
    for row, (x, _, _) in exact.items():
        assert half[row][0].dtype == torch.bfloat16
        difference = half[row][0].float() - x
        # every layer rounds what it adds and what it carries to 8 bits: errors of 2^-9, some 60 of
        # them, at random
        assert difference.norm() <= 4 * 60**0.5 * 2**-9 * x.norm()


def test_counts_and_weight_norms(case):
    space, archs, options, _ = case
    population = Population(archs, space=space, seed=1, **options)
    modules = [tvtfast.build(arch, space=space, seed=1, **options) for arch in archs]
    assert population.params.tolist() == [
        sum(parameter.numel() for parameter in module.parameters()) for module in modules
    ]
    assert population.flops.tolist() == [space.flops(arch, **options) for arch in archs]
    norms = [proxies.weight_norm(module).item() for module in modules]
    np.testing.assert_allclose(population.weight_norms(), norms, rtol=1e-6)


@pytest.mark.parametrize(
    ("threads", "tokens", "nodes"), [(1, 1, 1), (1, 40, 3), (1, 10**6, 64), (3, 40, 1)]
)
def test_order_cuts_and_company_change_nothing(case, monkeypatch, threads, tokens, nodes):
    space, archs, options, images = case
    expected = features_of(Population(archs, space=space, **options), images)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(memory_module, "_CPU_TOKENS", tokens)
    monkeypatch.setattr(memory_module, "_CPU_NODES", nodes)
    order = [4, 2, 0, 5, 1, 3]
    cut = Population([archs[row] for row in order], space=space, **options)
    found = features_of(cut, images)
    part = features_of(cut, images, rows=[1, 3])
    assert sorted(part) == [1, 3]
    for place, row in enumerate(order):
        scale = expected[row][0].abs().max()
        assert (found[place][0] - expected[row][0]).abs().max() <= 1e-5 * scale
        if place in part:
            assert (part[place][0] - expected[row][0]).abs().max() <= 1e-5 * scale


def test_common_beginnings_are_computed_once(monkeypatch):
    space = spaces.get("autoformer-tiny")
    (arch,) = space.sample(1, 0)
    last = [3, 4][arch.num_heads[-1] == 3]
    sibling = {**space.to_dict(arch), "num_heads": [*arch.num_heads[:-1], last]}
    computed = []
    original = engine._compute

    def counting(call, *arguments):
        computed.append((call.stop - call.start) * len(call.steps))
        original(call, *arguments)

    monkeypatch.setattr(engine, "_compute", counting)
    population = Population([arch, sibling, arch], space=space, img_size=32)
    assert len(features_of(population, torch.zeros(1, 3, 32, 32))) == 3
    # the embedding and two layers per block; the last block twice
    assert sum(computed) == 1 + 2 * arch.depth + 2


@pytest.mark.skipif(bool(missing()), reason="the C++ extension is not installed")
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
def test_blocks_in_one_operator_change_no_bits(monkeypatch, dtype):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    options = {"img_size": (48, 32), "patch_size": 8, "dtype": dtype}
    space = spaces.VitasDeitSpace("deit", (16,), (24,), 4, 1, (2, 3), (24, 36), (24, 48))
    alike = {"patch_size": 16, "embed_dim": 24, "depth": 4, "mlp_dim": [24, 24, 24, 48]}
    archs = [
        {**alike, "num_heads": [2, 2, heads, 3], "qkv_dim": [24, 24, width, 36]}
        for heads, width in ((2, 24), (3, 36), (2, 36))
    ]
    images = draw_images({"img_size": (48, 32)})
    calls = []
    block = kernels.attention_block

    def counting(*arguments, **options):
        calls.append(options.get("heads"))
        return block(*arguments, **options)

    asked = []
    serving = kernels.serving

    def noting(operator, *arguments):
        asked.append(arguments[-1])
        return serving(operator, *arguments)

    monkeypatch.setattr(kernels, "attention_block", counting)
    monkeypatch.setattr(kernels, "serving", noting)
    two = features_of(Population(archs[:2], space=space, **options), images)
    assert calls == [None, None, [2, 3], None]
    reversed_two = features_of(Population(archs[1::-1], space=space, **options), images)
    assert torch.equal(reversed_two[0][0], two[1][0])
    assert all(list(sizes) == sorted(sizes) for sizes in asked), "what backends are asked about"
    calls.clear()
    three = features_of(Population(archs, space=space, **options), images)
    assert calls == [None] * 3, "heads of different widths do not nest"
    monkeypatch.setattr(layers, "_fused", lambda *arguments: None)
    alone = features_of(Population(archs, space=space, **options), images)
    assert len(calls) == 3
    for found in (two, three):
        assert all(torch.equal(x, alone[row][0]) for row, (x, _, _) in found.items())


def test_rows_that_are_put_in_order_change_nothing(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(memory_module, "_CPU_NODES", 64)
    space = spaces.get("autoformer-tiny")
    population = Population(space.sample(40, 0), space=space, img_size=32)
    images = draw_images({"img_size": 32}, count=2)
    forward, ordered, partly = population_module.forward, [], []

    def watched(waves, *arguments):
        ordered.append([wave.order for wave in waves if wave.order is not None])
        partly.append([wave.ends for wave in waves if wave.has_ends and wave.ends is not None])
        return forward(waves, *arguments)

    monkeypatch.setattr(population_module, "forward", watched)
    monkeypatch.setattr(memory_module, "_CPU_TOKENS", 1)
    alone = features_of(population, images)
    monkeypatch.setattr(memory_module, "_CPU_TOKENS", 80)
    together = features_of(population, images)
    assert not ordered[0] and ordered[1] and partly[1]
    for row, (x, _, _) in alone.items():
        torch.testing.assert_close(together[row][0], x, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(bool(missing()), reason="the C++ extension is not installed")
def test_heads_of_other_widths_one_alternative_at_a_time_change_no_bits():
    space = spaces.get("autoformer-tiny")
    population = Population(space.sample(20, 0), space=space, img_size=64, patch_size=8)
    attention = [
        step
        for step in population.paths.steps
        if isinstance(step, SelfAttention) and (step.name, step.dim) == ("blocks.0.", 192)
    ]
    steps = sorted(attention, key=lambda step: step.heads)
    assert [step.heads for step in steps] == [3, 4]
    x = torch.randn(3, steps[0].tokens, 192, generator=torch.Generator().manual_seed(0))
    expected, found = torch.empty(2, 2, *x.shape)
    for write, out in zip(layers.outputs(population.bank, x, steps), expected, strict=True):
        write(out)
    blocks = [layers.block_of(population.bank, x, [step]) for step in steps]
    layers._one_by_one(blocks, x, found)
    assert torch.equal(found, expected) and not torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_no_memory_left_halves_the_plan_and_goes_on(case, monkeypatch, error):
    space, archs, options, images = case
    expected = features_of(Population(archs, space=space, **options), images)
    monkeypatch.setattr(memory_module, "_CPU_NODES", 8)
    plans, calls = [], []
    forward, run = population_module.forward, engine._compute

    def planned(waves, images, bank, plan, workers):
        plans.append(plan)
        calls.clear()
        return forward(waves, images, bank, plan, workers)

    def failing(*arguments):
        calls.append(arguments)
        if plans[-1].nodes_per_wave > 2 and len(calls) > 20:
            raise error
        run(*arguments)

    monkeypatch.setattr(population_module, "forward", planned)
    monkeypatch.setattr(engine, "_compute", failing)
    found = features_of(Population(archs, space=space, **options), images)
    assert [plan.nodes_per_wave for plan in plans] == [8, 4, 2]
    for row, (x, _, _) in expected.items():
        assert (found[row][0] - x).abs().max() <= 1e-5 * x.abs().max()


def test_no_memory_left_at_the_smallest_plan(monkeypatch):
    def failing(*arguments):
        raise torch.OutOfMemoryError("out of memory")
        yield

    monkeypatch.setattr(population_module, "forward", failing)
    archs = spaces.get("pit").sample(1, 0)
    with pytest.raises(torch.OutOfMemoryError):
        next(Population(archs, space="pit").features(torch.zeros(1, 3, 224, 224)))


def test_bad_input_is_refused():
    archs = spaces.get("autoformer-tiny").sample(1, 0)
    with pytest.raises(ValueError, match="at least one architecture"):
        Population([], space="autoformer-tiny")
    with pytest.raises(ValueError, match="hidden_dim 7 does not split"):
        Population(
            [{"hidden_dim": 7, "depth": 1, "mlp_ratio": [4], "num_heads": [3]}],
            space="autoformer-tiny",
        )
    population = Population(archs, space="autoformer-tiny")
    for shape in ((1, 3, 32, 32), (3, 224, 224), (0, 3, 224, 224)):
        with pytest.raises(ValueError, match=r"made for images \[B, 3, 224, 224\]"):
            next(population.features(torch.zeros(shape)))


def test_spaces_without_stated_layers(monkeypatch):
    space = spaces.get("pit")
    monkeypatch.setattr(type(space), "_steps", spaces.Space._steps)
    with pytest.raises(ValueError, match="does not state the steps"):
        Population([space.enumerate()[0]], space=space)


def test_a_narrower_layer_is_part_of_a_wider_one_unless_its_fan_in_scales_it():
    for name, options, nested in (
        ("autoformer-tiny", {"img_size": 32}, True),
        ("pit", {"img_size": 48}, False),
    ):
        space = spaces.get(name)
        archs = space.sample(20, 0, **options)
        population = Population(archs, space=space, **options)
        bank, alternatives = population.bank, {}
        for step in population.paths.steps:
            if isinstance(step, MLP):
                alternatives.setdefault((step.name, step.dim), {})[step.hidden] = step
        some = next(list(steps.values()) for steps in alternatives.values() if len(steps) > 1)
        first, second = zip(*(step.matrices for step in some), strict=True)
        assert bank.nests(first) and bank.nests(second) == nested
        narrow, wide = sorted(second, key=lambda matrix: matrix.columns)[:2]
        part = bank.weight(wide)[:, : narrow.columns]
        assert torch.equal(bank.weight(narrow), part) == nested


@pytest.mark.parametrize(
    ("space", "arch"),
    [
        (
            "autoformer-tiny",
            {"hidden_dim": 24, "depth": 2, "mlp_ratio": [3.0, 1.25], "num_heads": [6, 4]},
        ),
        ("pit", {"base_dim": 5, "mlp_ratio": 3, "depth": [1, 1, 2], "num_heads": [1, 3, 6]}),
    ],
)
def test_features_of_architectures_that_no_search_proposes(space, arch):
    options = {"img_size": 32, "patch_size": 8, "num_classes": 7}
    archs, images = [arch, spaces.get(space).sample(1)[0]], draw_images(options)
    found = features_of(Population(archs, space=space, dtype=torch.float64, **options), images)
    for row, one in enumerate(archs):
        module = tvtfast.build(one, space=space, **options).double()
        alone = last_features(module, images.double()).x
        torch.testing.assert_close(found[row][0], alone, rtol=1e-12, atol=1e-12)
