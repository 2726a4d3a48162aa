"""What is around a call of a proxy: it reads what it declares, and spoils nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.proxies import Proxy, UndeclaredInputError, weight_norm
from tvtfast.scoring.frame import SpoiledInputsError
from tvtfast.scoring.module_state import ModuleState

SPACE = spaces.get("autoformer-tiny")
ARCH = SPACE.decode({"hidden_dim": 24, "depth": 2, "mlp_ratio": [2.0, 1.0], "num_heads": [2, 3]})
WEIGHTS = frozenset({"weights"})
SHOWN = frozenset({"weights", "images"})
OPTIONS = {"img_size": 16, "patch_size": 8, "num_classes": 3}


def model(seed=0):
    return tvtfast.build(ARCH, space=SPACE, seed=seed, **OPTIONS)


@pytest.fixture
def run():
    def run(candidates=(ARCH,), *, labels=(0, 1, 2), **changes):
        images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        arguments = {"space": SPACE, "images": images, "labels": torch.tensor(labels), **OPTIONS}
        return tvtfast.score(list(candidates), **arguments | changes)

    return run


def norm(inputs):
    return weight_norm(inputs.module).item()


READS = {
    "labels": (SHOWN, lambda inputs: inputs.labels.sum()),
    "images": (WEIGHTS, lambda inputs: inputs.images.sum()),
    "module": (frozenset({"images"}), norm),
    "seed": (frozenset(), lambda inputs: inputs.seed),
    "features": (WEIGHTS, lambda inputs: inputs.features.x.sum()),
    "gradients": (SHOWN, lambda inputs: inputs.gradients.loss),
    "running": (WEIGHTS, lambda inputs: inputs.running()),
    "teacher_size": (SHOWN, lambda inputs: inputs.teacher_size[0]),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_not_declared_is_refused(run, name):
    needs, compute = READS[name]
    table = run(proxies=[Proxy("sly", compute, needs=needs)])
    assert table.status["sly"].tolist() == ["error"]
    assert f"proxy 'sly' reads inputs.{name} and does not declare" in table.reasons["sly"][0]
    with pytest.raises(tvtfast.ScoringError) as raised:
        run(proxies=[Proxy("sly", compute, needs=needs)], on_error="raise")
    assert isinstance(raised.value.__cause__, UndeclaredInputError)


def test_what_is_not_declared_is_refused_where_candidates_are_scored_together(run):
    means = Proxy("means", norm, needs=WEIGHTS, per_image=lambda inputs: inputs.features.x.sum())
    sums = Proxy("sums", norm, per_step=lambda step: sum(step.weight_norms))
    for proxy, what in ((means, "features"), (sums, "weight_norms")):
        reason = run(proxies=[proxy]).reasons[proxy.name][0]
        assert f"reads inputs.{what} and does not declare" in reason


def test_inputs_are_copied_and_keep_their_insides(run):
    copied = Proxy("copied", lambda inputs: norm(copy.copy(inputs)), needs=WEIGHTS)
    private = Proxy("private", lambda inputs: inputs._module, needs=frozenset())
    table = run(proxies=["weight_norm", copied, private])
    assert table.to_pandas()["copied"][0] == pytest.approx(table.to_pandas()["weight_norm"][0])
    assert "inputs of a proxy have no _module" in table.reasons["private"][0]


def test_a_score_of_labels_alone_is_stored_under_them(run, tmp_path):
    """It was the value of the labels that came first."""
    own = Proxy("own", lambda inputs: float(inputs.labels.sum()), needs=frozenset({"labels"}))
    found = [
        run(proxies=[own], labels=labels, store=tmp_path / "scores.sqlite").to_pandas()["own"][0]
        for labels in ((0, 1, 2), (0, 0, 1), (0, 1, 2))
    ]
    assert found == [3, 1, 3]


@torch.no_grad()
def in_place(module):
    for weight in module.parameters():
        weight.fill_(torch.nan)


def behind_the_counter(module):
    for weight in module.parameters():
        weight.data.mul_(0)


def other_memory(module):
    for weight in module.parameters():
        weight.data = torch.zeros_like(weight)


def other_parameters(module):
    module.head.weight = nn.Parameter(torch.zeros_like(module.head.weight))
    module.blocks[0].mlp.fc1.register_buffer("extra", torch.zeros(1))
    module.blocks[1].attn.proj = nn.Identity()


def modes_and_flags(module):
    module.train()
    module.requires_grad_(False)
    module.head.weight.grad = torch.ones_like(module.head.weight)


def hooks_and_forward(module):
    module.head.register_forward_hook(lambda layer, inputs, output: output * 0)
    module.blocks[0].forward = lambda x, grid: x * 0


SPOILERS = (
    in_place,
    behind_the_counter,
    other_memory,
    other_parameters,
    modes_and_flags,
    hooks_and_forward,
)


def watched(inputs):
    """Everything that could have been changed, in one number."""
    module = inputs.module
    with inputs.running() as images:
        logits = module(images).abs().sum().item()
    flags = sum(p.requires_grad for p in module.parameters()) + 2 * module.training
    grads = sum(p.grad is not None for p in module.parameters())
    return logits + weight_norm(module).item() + flags + grads + len(list(module.modules()))


@pytest.mark.parametrize("spoil", SPOILERS)
@pytest.mark.parametrize("kind", ["architecture", "module"])
def test_a_proxy_that_changes_the_module_does_not_spoil_the_next(run, spoil, kind):
    """14.35 became NaN behind one that did."""

    def spoiling(inputs):
        spoil(inputs.module)
        return 1.0

    given = ARCH if kind == "architecture" else model().eval()
    before = None if kind == "architecture" else copy.deepcopy(given.state_dict())
    later = Proxy("later", watched, needs=SHOWN)
    alone = run([given], proxies=[later]).to_pandas()["later"][0]
    table = run([given], proxies=[Proxy("spoiling", spoiling, needs=WEIGHTS), later])
    assert table.to_pandas()[["spoiling", "later"]].values.tolist() == [[1.0, alone]]
    if before is not None:
        torch.testing.assert_close(given.state_dict(), before, rtol=0, atol=0)
        assert not given.training and all(p.requires_grad for p in given.parameters())
        assert all(p.grad is None for p in given.parameters()) and not given.head._forward_hooks


def test_what_was_made_of_changed_weights_is_made_anew(run):
    def spoiling(inputs):
        in_place(inputs.module)
        return float(inputs.features.x.isnan().any() and inputs.gradients.loss.isnan())

    needs = SHOWN | {"labels", "gradients"}
    features = Proxy("features", lambda inputs: inputs.features.x.abs().sum().item(), needs=SHOWN)
    loss = Proxy("loss", lambda inputs: inputs.gradients.loss.item(), needs=needs)
    alone = run(proxies=[features, loss]).to_pandas()[["features", "loss"]]
    table = run(proxies=[Proxy("spoiling", spoiling, needs=needs), features, loss]).to_pandas()
    assert table["spoiling"].tolist() == [1.0]
    assert table[["features", "loss"]].values.tolist() == alone.values.tolist()


def test_a_module_that_needs_nothing_put_back_is_not_written_to(run):
    module = model().eval()
    versions = [p._version for p in module.parameters()]
    run([module], proxies=[Proxy("reading", norm, needs=WEIGHTS)])
    assert [p._version for p in module.parameters()] == versions
    state = ModuleState(module)
    assert state.restore() is False
    module.head.weight.grad = torch.zeros_like(module.head.weight)
    assert state.restore() is False and module.head.weight.grad is None


@pytest.mark.parametrize("name", ["images", "labels", "features", "gradients"])
def test_shared_tensors_are_not_to_be_changed(run, name):
    def change(inputs):
        found = getattr(inputs, name)
        tensor = found.x if name == "features" else found
        (tensor.layers[0].gradient if name == "gradients" else tensor).mul_(0)
        return 1.0

    own = Proxy("own", change, needs=SHOWN | {"labels", "gradients"})
    with pytest.raises(SpoiledInputsError, match=f"'own' changed inputs.{name} in place"):
        run(proxies=[own])


def test_shared_tensors_are_not_to_be_changed_where_candidates_are_scored_together(run):
    def change(inputs):
        return inputs.features.x.mul_(2).mean((-1, -2))

    with pytest.raises(SpoiledInputsError, match="'own' changed inputs.features in place"):
        run(proxies=[Proxy("own", norm, needs=SHOWN, per_image=change)])


def test_chance_is_that_of_the_candidate_and_the_callers_stays(run):
    def lucky(inputs):
        torch.set_default_dtype(torch.float64)
        return torch.rand(()).item()

    first, second = (Proxy(name, lucky, needs=WEIGHTS) for name in ("first", "second"))
    state = torch.get_rng_state()
    both = run(proxies=[first, second]).to_pandas()
    torch.randn(3)
    alone = run(proxies=[second]).to_pandas()
    assert both["second"].tolist() == alone["second"].tolist()
    assert both["first"][0] != both["second"][0]
    torch.set_rng_state(state)
    run(proxies=[first])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() == torch.float32


def test_gradients_are_recorded_for_those_that_need_them(run):
    own = Proxy("own", lambda inputs: float(torch.is_grad_enabled()), needs=WEIGHTS | {"gradients"})
    other = Proxy("other", lambda inputs: float(torch.is_grad_enabled()), needs=WEIGHTS)
    with torch.no_grad():
        table = run(proxies=[own, other]).to_pandas()
    assert table[["own", "other"]].values.tolist() == [[1.0, 0.0]]
