"""Weight draws that run together against the same draws one by one."""

from __future__ import annotations

import json
import math
import sqlite3
import sys
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError, passes_of_draws, pooled_features, run_together
from tvtfast.models import weight_draws as weight_draws_module
from tvtfast.proxies import Proxy, UndefinedScoreError
from tvtfast.proxies.length_distortion import circle_directions
from tvtfast.scoring import candidates
from tvtfast.scoring.evaluator import Evaluator

SMALL = "4,2,2,1|2,1,2,2|2,1,2,1|2,1,2,1|16,16"
ASVIT = ("length_distortion", "ntk_condition")
TOPOLOGIES = (
    ("8,2,3|4,1,2|4,1,4|4,1,6|32", (32, 32)),
    ("5,4,2|3,2,6|2,1,2|3,1,3|16", (40, 28)),
    ("7,8,2|2,4,2|3,2,3|4,1,2|64", (64, 36)),
    ("4,2,2,2|4,1,2,1|3,2,5,3|2,1,2,1|16,12", (32, 64)),
)
"""Windows that cover the grid and windows that reach over its edge, with every merging kernel."""
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
"""Both forms sum the same products, in another order at most, and scale what is normed in a step of
its own: they differ by some roundings of 6e-8 and 1e-16, averaged over all features and weights."""


def draws(topology=SMALL, img_size=32, count=3, dtype=torch.float32, space="asvit", **options):
    """Modules with no weight at 1 and no bias at 0, as those of norms are when drawn."""
    found = []
    for seed in range(count):
        module = tvtfast.build(topology, space=space, img_size=img_size, seed=seed, **options)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
        found.append(module.to(dtype))
    return found


def batch(img_size=(32, 32), count=4):
    return torch.randn(count, 3, *img_size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def widths(monkeypatch):
    """Numbers of modules that ran together, in order."""
    seen = []

    def noted(modules):
        seen.append(len(modules))
        return run_together(modules)

    for measure in (proxies.ntk_gram, proxies.length_distortion):
        monkeypatch.setattr(sys.modules[measure.__module__], "run_together", noted)
    return seen


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("topology", "img_size"), TOPOLOGIES)
def test_scores_are_those_of_single_draws(topology, img_size, dtype, widths):
    modules, images = draws(topology, img_size, 3, dtype), batch(img_size)
    tolerance = TOLERANCE[dtype]
    lengths = proxies.length_distortion(modules, img_size=img_size, seed=range(3))
    kernels = proxies.ntk_gram(modules, images)
    conditions = proxies.ntk_condition(modules, images)
    assert widths == [3, 3, 3]
    assert all(found.dtype == torch.float64 for found in (lengths, kernels, conditions))
    for seed, module in enumerate(modules):
        length = proxies.length_distortion(module, img_size=img_size, seed=seed)
        torch.testing.assert_close(lengths[seed], length, rtol=tolerance, atol=0)
        kernel = proxies.ntk_gram(module, images)
        norms = kernel.diagonal().sqrt()
        assert ((kernels[seed] - kernel).abs() <= tolerance * norms.outer(norms)).all()
        condition = proxies.ntk_condition(module, images)
        # an error of the kernel reaches its smallest eigenvalue multiplied by the condition
        worse = len(images) * condition.item()
        torch.testing.assert_close(conditions[seed], condition, rtol=worse * tolerance, atol=0)
    assert len(set(lengths.tolist())) == len(set(conditions.tolist())) == 3
    assert all(parameter.grad is None for module in modules for parameter in module.parameters())


@pytest.mark.parametrize("measure", [proxies.curvature, proxies.gauss_length])
def test_second_order(measure, widths):
    modules = draws(dtype=torch.float64)
    found = measure(modules, img_size=32, points=4, seed=7)
    assert widths == [3]
    alone = [measure(module, img_size=32, points=4, seed=7) for module in modules]
    torch.testing.assert_close(found, torch.stack(alone), rtol=1e-10, atol=0)


def test_another_space_of_plain_layers(widths):
    """Twins have convolutions in groups and with strides, and norms under both scores' kernels."""
    smallest = min(spaces.get("vitas-twins").sample(20, 0), key=spaces.get("vitas-twins").params)
    modules = draws(smallest, 32, 2, torch.float64, "vitas-twins", patch_size=8)
    images = batch()
    found = proxies.ntk_gram(modules, images)
    assert widths == [2]
    alone = torch.stack([proxies.ntk_gram(module, images) for module in modules])
    torch.testing.assert_close(found, alone, rtol=1e-10, atol=0)


def test_what_is_shown_in_one_pass_is_limited(monkeypatch, widths):
    modules = draws(count=5)
    whole = proxies.length_distortion(modules, img_size=32, seed=range(5))
    monkeypatch.setitem(weight_draws_module.PIXELS, "cpu", 2 * 9 * 32 * 32)
    parts = proxies.length_distortion(modules, img_size=32, seed=range(5))
    assert widths == [5, 2, 2, 1]
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=0)
    monkeypatch.setitem(weight_draws_module.PIXELS, "cpu", 1)
    assert [modules[part] for part in passes_of_draws(modules, 9, (32, 32))] == [
        [m] for m in modules
    ]


class Operators(TorchDispatchMode):
    """Counts what would be launched on a GPU, views apart."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_five_draws_launch_little_more_than_one():
    modules, images, counts = draws(count=5), batch(), {}
    directions = circle_directions(0, (32, 32))
    for count in (1, 2, 5):
        with Operators() as length, torch.no_grad():
            proxies.length_distortion(modules[:count], img_size=32, directions=directions)
        with Operators() as kernel:
            proxies.ntk_gram(modules[:count], images)
        counts[count] = (length.count, kernel.count)
    for one, two, five in zip(*counts.values(), strict=True):
        assert two < 1.25 * one, "weights are stacked, norms take two steps more"
        assert five - two <= 3 * 2, "of images and tangents the convolution is one by one"


def test_one_draw_is_the_module(widths):
    (module,) = draws(count=1)
    one = proxies.length_distortion([module], img_size=32, seed=3)
    assert torch.equal(one, proxies.length_distortion(module, img_size=32, seed=3)[None])
    one = proxies.ntk_condition([module], batch())
    assert torch.equal(one, proxies.ntk_condition(module, batch())[None])
    assert set(widths) == {1}


def test_what_differs_in_more_than_weights_runs_alone(widths):
    """Shapes do not tell the number of heads, and not every model is made of known layers."""
    module, other = (
        tvtfast.build(SMALL.replace("|16,16", f"|{heads},16"), space="asvit", img_size=32)
        for heads in (16, 32)
    )
    assert [p.shape for p in module.parameters()] == [p.shape for p in other.parameters()]
    frozen = draws(count=2)[1].requires_grad_(False)
    training = draws(count=2)[1].train()
    tiny = [
        tvtfast.build(
            spaces.get("autoformer-tiny").sample(1, 0)[0],
            space="autoformer-tiny",
            img_size=32,
            patch_size=16,
            seed=seed,
        )
        for seed in (0, 1)
    ]
    for pair in ([module, other], [module, frozen], [module, training], tiny):
        widths.clear()
        found = proxies.length_distortion(pair, img_size=32)
        assert widths == [1, 1]
        assert found.tolist() == [proxies.length_distortion(m, img_size=32).item() for m in pair]


def test_any_module():
    layers = [nn.Conv2d(3, 4, 2, 2), nn.Conv2d(3, 4, 2, 2)]

    def features(module, images):
        return torch.tanh(module(images))

    found = proxies.length_distortion(layers, img_size=4, feature_fn=features)
    alone = [proxies.length_distortion(m, img_size=4, feature_fn=features) for m in layers]
    assert torch.equal(found, torch.stack(alone))
    published = proxies.length_distortion(
        layers, img_size=4, method="published", feature_fn=features
    )
    torch.testing.assert_close(published, found, rtol=1e-5, atol=0)
    kernels = [proxies.ntk_gram(m, batch((4, 4)), feature_fn=features) for m in layers]
    found = proxies.ntk_gram(layers, batch((4, 4)), feature_fn=features)
    assert torch.equal(found, torch.stack(kernels))


def test_a_broken_draw_breaks_no_other():
    modules, images = draws(), batch()
    with torch.no_grad():
        modules[1].merges[0].reduction.weight.fill_(math.nan)
    lengths = proxies.length_distortion(modules, img_size=32, seed=range(3))
    conditions = proxies.ntk_condition(modules, images)
    for values, measure in (
        (lengths, lambda m, seed: proxies.length_distortion(m, img_size=32, seed=seed)),
        (conditions, lambda m, seed: proxies.ntk_condition(m, images)),
    ):
        assert values.isnan().tolist() == [False, True, False]
        for seed in (0, 2):
            assert values[seed].item() == pytest.approx(
                measure(modules[seed], seed).item(), rel=1e-6
            )
    images[3] = images[0]
    assert proxies.ntk_condition(modules, images).isnan().all(), "equal images: all are singular"


def test_weights_used_otherwise_are_refused():
    class Doubled(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight.clamp(min=0))

    modules = draws(count=2)
    for module in modules:
        doubled = Doubled(64, 64)
        doubled.weight = nn.Parameter(module.merges[0].reduction.weight.detach())
        module.merges[0].reduction = doubled
    with (
        pytest.raises(UnsupportedModelError, match="uses one in clamp; pass its modules one"),
        run_together(modules) as network,
    ):
        pooled_features(network, torch.cat([batch(), batch()]))


@pytest.mark.parametrize("modules", [[], 2])
def test_wrong_arguments(modules):
    modules = draws(count=modules) if modules else []
    with pytest.raises(ValueError, match="modules and 1 seeds; give one module or more"):
        proxies.length_distortion(modules, img_size=32, seed=[4])
    with pytest.raises(ValueError, match="points is 1; give 2 or more"):
        proxies.length_distortion(draws(count=2), img_size=32, points=1)
    with pytest.raises(ValueError, match="there is no module"):
        proxies.ntk_gram([], batch())


def test_candidates_are_scored_by_all_draws_at_once(widths, tmp_path):
    options = {"proxies": ["length_distortion", "ntk_condition"], "num_classes": 10}
    store = tmp_path / "scores.sqlite"
    frame = tvtfast.score(
        [SMALL], space="asvit", images=batch(), init_seeds=3, store=store, **options
    ).to_pandas()
    assert widths == [3, 3]
    modules = [
        tvtfast.build(SMALL, space="asvit", img_size=32, num_classes=10, seed=seed)
        for seed in range(3)
    ]
    expected = {
        "length_distortion": proxies.length_distortion(modules, img_size=32, seed=range(3)),
        "ntk_condition": proxies.ntk_condition(modules, batch()),
    }
    for name, values in expected.items():
        assert frame[name][0] == pytest.approx(values.mean().item(), rel=1e-12)
        assert frame[f"{name}_std"][0] == pytest.approx(values.std().item(), rel=1e-9)
    widths.clear()
    again = tvtfast.score(
        [SMALL], space="asvit", images=batch(), init_seeds=4, store=store, **options
    ).to_pandas()
    assert widths == [1, 1], "only the fourth draw is new"
    assert again["length_distortion"][0] != frame["length_distortion"][0]


def test_a_broken_draw_of_a_candidate_is_recorded_as_such(monkeypatch, tmp_path):
    original = candidates.initialize_

    def broken(module, seed, **kwargs):
        original(module, seed, **kwargs)
        if seed == 1:
            module.merges[0].reduction.weight.detach().fill_(math.nan)
        return module

    monkeypatch.setattr(candidates, "initialize_", broken)
    table = tvtfast.score(
        [SMALL],
        space="asvit",
        proxies=["length_distortion", "ntk_condition"],
        images=batch(),
        init_seeds=3,
        num_classes=10,
        store=tmp_path / "scores.sqlite",
    )
    for name, reason in (("length_distortion", "the score is nan"), ("ntk_condition", "holds NaN")):
        assert table.status[name][0] == "nan" and reason in table.reasons[name][0]
        assert stored(tmp_path / "scores.sqlite", name) == {0: "ok", 1: "nan", 2: "ok"}


def stored(path, proxy):
    """Status of every draw."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT fields, status FROM scores").fetchall()
    found = [(json.loads(fields), status) for fields, status in rows]
    return {f["init_seed"]: status for f, status in found if f["proxy"] == proxy}


@pytest.mark.parametrize("fails", [False, True])
def test_draws_without_a_value_are_computed_alone(fails, tmp_path):
    """As are all, where all together have none; values and reasons are those of each."""
    calls = []

    def compute(inputs):
        calls.append(inputs.seed)
        if inputs.seed == 1:
            raise UndefinedScoreError("one has none")
        return float(inputs.seed)

    def compute_draws(inputs):
        calls.append([i.seed for i in inputs])
        if fails:
            raise UndefinedScoreError("one of them has none")
        return [math.nan if i.seed == 1 else float(i.seed) for i in inputs]

    own = Proxy("own", compute, needs=frozenset({"weights"}), compute_draws=compute_draws)
    options = {"space": "asvit", "proxies": [own], "img_size": 32}
    path = tmp_path / "scores.sqlite"
    table = tvtfast.score([SMALL, SMALL], init_seeds=3, store=path, **options)
    assert calls == [[0, 1, 2], 0, 1, 2] if fails else [[0, 1, 2], 1]
    assert (
        table.status["own"].tolist() == ["nan", "nan"] and "one has none" in table.reasons["own"][0]
    )
    assert stored(path, "own") == {0: "ok", 1: "nan", 2: "ok"}
    calls.clear()
    tvtfast.score([SMALL], init_seeds=1, **options)
    assert calls == [0], "a single draw is computed by itself"
    with pytest.raises(tvtfast.ScoringError, match="own: UndefinedScoreError: one has none"):
        tvtfast.score([SMALL], init_seeds=2, on_error="raise", **options)


def test_a_stopped_search_has_all_draws_of_a_score_or_none(tmp_path, monkeypatch):
    """So that the same ones run together when it goes on, and the trace is that of a whole one."""

    def search(folder):
        tvtfast.search(
            "asvit",
            strategy="reinforce",
            trials=3,
            proxies=ASVIT,
            images=batch(),
            init_seeds=3,
            run_dir=folder,
            num_classes=10,
        )

    search(tmp_path / "whole")
    asked = 0
    original = Evaluator._evaluate_draws

    def stopped(self, ledger, proxy, inputs):
        nonlocal asked
        asked += proxy.compute_draws is not None
        if asked == 4:
            raise KeyboardInterrupt
        return original(self, ledger, proxy, inputs)

    monkeypatch.setattr(Evaluator, "_evaluate_draws", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "broken")
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "broken" / "scores.sqlite") as connection:
        rows = [json.loads(row) for (row,) in connection.execute("SELECT fields FROM scores")]
    counts = Counter((row["candidate"]["arch"], row["proxy"]) for row in rows)
    measured = [count for (_, name), count in counts.items() if name in ASVIT]
    assert measured == [3, 3, 3]
    search(tmp_path / "broken")
    traces = [(tmp_path / name / "trace.csv").read_text() for name in ("whole", "broken")]
    assert traces[0] == traces[1]
