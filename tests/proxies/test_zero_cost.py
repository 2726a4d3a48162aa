"""Proxies of gradients against slow fp64 implementations that share no code with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError
from tvtfast.proxies import UndefinedScoreError

SPACE = spaces.get("autoformer-tiny")
ARCH = SPACE.decode({"hidden_dim": 24, "depth": 2, "mlp_ratio": [2.0, 1.0], "num_heads": [2, 3]})
OTHER = SPACE.decode({"hidden_dim": 36, "depth": 2, "mlp_ratio": [1.0, 2.0], "num_heads": [3, 2]})
OPTIONS = {"img_size": 16, "patch_size": 8, "num_classes": 3}
IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 2, 1, 1, 0])
SEEDED = torch.Generator().manual_seed(1)


def forward(state, images, *, norms=True):
    """Logits of the candidate, and what every convolution and linear layer gives."""
    outputs = {}

    def linear(x, name):
        outputs[name] = x @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        return outputs[name]

    def norm(x, name):
        if not norms:
            return x
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    kernel = state["patch_embed.proj.weight"]
    patches = images.unfold(2, 8, 8).unfold(3, 8, 8)  # [B, 3, 2, 2, 8, 8]
    grid = torch.einsum("bcyxhw,dchw->bdyx", patches, kernel)
    outputs["patch_embed.proj"] = grid + state["patch_embed.proj.bias"][:, None, None]
    tokens = outputs["patch_embed.proj"].flatten(2).mT
    x = torch.cat((state["cls_token"].expand(len(images), -1, -1), tokens), 1) + state["pos_embed"]
    for block, heads in enumerate((2, 3)):
        name = f"blocks.{block}"
        qkv = linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv")
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        attention = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        x = x + linear((attention @ v).transpose(1, 2).flatten(2), f"{name}.attn.proj")
        hidden = linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        x = x + linear(hidden, f"{name}.mlp.fc2")
    return linear(norm(x, "norm")[:, 1:].mean(1), "head"), outputs


def state_of(module, *, absolute=False):
    state = {name: tensor.double() for name, tensor in module.state_dict().items()}
    return {
        name: (x.abs() if absolute else x.clone()).requires_grad_() for name, x in state.items()
    }


def layer_names(module):
    return [n for n, m in module.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))]


def loss_of(state, images, labels):
    logits, outputs = forward(state, images.double())
    chosen = logits.log_softmax(1)[torch.arange(len(labels)), labels]
    return -chosen.mean(), outputs


def slow_gradients(module, images, labels):
    state = state_of(module)
    loss, _ = loss_of(state, images, labels)
    names = layer_names(module)
    weights = [state[f"{name}.weight"] for name in names]
    gradients = torch.autograd.grad(loss, weights)
    return [(w.detach().numpy(), g.numpy()) for w, g in zip(weights, gradients, strict=True)]


def slow_grad_norm(module):
    return sum(math.sqrt((g**2).sum()) for _, g in slow_gradients(module, IMAGES, LABELS))


def slow_plain(module):
    return sum((w * g).sum() for w, g in slow_gradients(module, IMAGES, LABELS))


def slow_snip(module):
    """By masks of ones, as the paper has it."""
    state, total = state_of(module), 0.0
    names = [f"{name}.weight" for name in layer_names(module)]
    masks = {name: torch.ones_like(state[name]).requires_grad_() for name in names}
    masked = state | {name: state[name] * mask for name, mask in masks.items()}
    loss, _ = loss_of(masked, IMAGES, LABELS)
    for gradient in torch.autograd.grad(loss, list(masks.values())):
        total += gradient.abs().sum().item()
    return total


def slow_fisher(module):
    loss, outputs = loss_of(state_of(module), IMAGES, LABELS)
    gradients = torch.autograd.grad(loss, list(outputs.values()))
    total = 0.0
    for (name, output), gradient in zip(outputs.items(), gradients, strict=True):
        product = (output * gradient).detach().numpy()
        if name == "patch_embed.proj":
            product = product.transpose(0, 2, 3, 1)
        for channel in range(product.shape[-1]):
            for image in range(len(IMAGES)):
                total += product[image, ..., channel].sum() ** 2 / (2 * len(IMAGES))
    return total


def slow_grasp(module):
    """By central differences of the gradient along itself."""
    names = [f"{name}.weight" for name in layer_names(module)]
    direction = [torch.from_numpy(g) for _, g in slow_gradients(module, IMAGES, LABELS)]
    step, sides = 1e-4, []
    for sign in (1, -1):
        state = state_of(module)
        for name, along in zip(names, direction, strict=True):
            state[name] = (state[name].detach() + sign * step * along).requires_grad_()
        loss, _ = loss_of(state, IMAGES, LABELS)
        sides.append(torch.autograd.grad(loss, [state[name] for name in names]))
    return -sum(
        (module.get_parameter(name).double() * (up - down) / (2 * step)).sum().item()
        for name, up, down in zip(names, *sides, strict=True)
    )


def slow_synflow(module):
    state = state_of(module, absolute=True)
    logits, _ = forward(state, torch.ones(1, 3, 16, 16, dtype=torch.float64), norms=False)
    weights = [state[f"{name}.weight"] for name in layer_names(module)]
    gradients = torch.autograd.grad(logits.sum(), weights)
    return math.log(
        sum((w * g).abs().sum().item() for w, g in zip(weights, gradients, strict=True))
    )


def slow_zico(module):
    parts = [slow_gradients(module, IMAGES[part], LABELS[part]) for part in (slice(3), slice(3, 5))]
    total = 0.0
    for layers in zip(*parts, strict=True):
        gradients = np.array([g.reshape(-1) for _, g in layers])
        deviation = np.std(gradients, axis=0)
        moving = np.nonzero(deviation)[0]
        total += np.log((np.abs(gradients).mean(axis=0)[moving] / deviation[moving]).sum())
    return total


def slow_l2_norm(module):
    return sum(
        math.sqrt((module.get_parameter(f"{name}.weight").double() ** 2).sum().item())
        for name in layer_names(module)
    )


SLOW = {
    "fisher": slow_fisher,
    "grad_norm": slow_grad_norm,
    "grasp": slow_grasp,
    "l2_norm": slow_l2_norm,
    "plain": slow_plain,
    "snip": slow_snip,
    "synflow": slow_synflow,
    "zico": slow_zico,
}
ONE_PASS = ("fisher", "grad_norm", "plain", "snip")


@pytest.fixture(scope="module")
def module():
    found = tvtfast.build(ARCH, space=SPACE, seed=3, **OPTIONS)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "norm" in name or "bias" in name or "token" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=SEEDED))
    return found.eval()


def run(candidates, **changes):
    arguments = {"space": SPACE, "images": IMAGES, "labels": LABELS, **OPTIONS}
    return tvtfast.score(candidates, **arguments | changes)


def test_the_slow_forward_is_that_of_the_candidate(module):
    logits, _ = forward(state_of(module), IMAGES.double())
    torch.testing.assert_close(logits.float(), module(IMAGES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SLOW)
def test_scores_equal_a_slow_implementation(module, name):
    truth = SLOW[name](module)
    found = run([module], proxies=[name]).to_pandas()[name][0]
    assert found == pytest.approx(truth, rel=2e-3 if name == "zico" else 2e-4)
    exact = tvtfast.build(ARCH, space=SPACE, seed=3, **OPTIONS).double()
    exact.load_state_dict(module.state_dict())
    found = run([exact.eval()], proxies=[name], images=IMAGES.double()).to_pandas()[name][0]
    assert found == pytest.approx(truth, rel=1e-5 if name == "grasp" else 1e-9)


def test_architecture_and_module_agree():
    built = tvtfast.build(ARCH, space=SPACE, seed=0, **OPTIONS).eval()
    frame = run([ARCH, built], proxies=list(SLOW)).to_pandas()
    for name in SLOW:
        assert frame[name][0] == pytest.approx(frame[name][1], rel=1e-6), name


@pytest.mark.parametrize("space", ["pit", "asvit", "vitas-deit", "autoformer-original-tiny"])
def test_every_kind_of_space_is_served(space):
    """Convolutions between stages, windows, relative positions, several stages."""
    space = spaces.get(space)
    arch = min(space.sample(20, 0), key=lambda one: space.params(one, img_size=32, num_classes=3))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2])
    table = run([arch], space=space, images=images, labels=labels, proxies=list(SLOW), img_size=32)
    assert (table.status == "ok").all(axis=None), table.reasons.iloc[0].to_dict()


def test_a_group_stands_for_its_members():
    members = proxies.GROUPS["zero-cost"]
    assert set(SLOW) <= set(members) <= set(proxies.available())
    single, combined = proxies.resolve("zero-cost")
    assert set(members) <= {one.name for one in (*single, *combined)}
    table = run([ARCH, OTHER], proxies=["zero-cost", "snip", "params"])
    assert set(members) <= set(table.to_pandas().columns)
    assert (table.status[list(SLOW)] == "ok").all(axis=None)
    told = table.status[[name for name in members if name not in SLOW]]
    assert told.isin(["ok", "nan"]).all(axis=None), table.reasons.iloc[0].to_dict()
    with pytest.raises(ValueError, match="'zero-cost' is a group of proxies"):
        proxies.get("zero-cost")
    with pytest.raises(ValueError, match="'zero-cost' is a group of proxies; choose another"):
        proxies.register(proxies.Proxy("zero-cost", lambda inputs: 0.0))


def test_all_scores_of_one_gradient_take_one_pass():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.passes = nn.Linear(3 * 256, 3), 0

        def forward(self, images):
            self.passes += torch.is_grad_enabled()
            return self.layer(images.flatten(1))

    module = Counting()
    run([module], proxies=list(ONE_PASS))
    assert module.passes == 1
    assert module.layer.weight.grad is None and module.layer.weight.requires_grad


def test_draws_have_their_mean_and_spread():
    frame = run([ARCH], proxies=list(SLOW), init_seeds=3).to_pandas()
    alone = [run([ARCH], proxies=list(SLOW), seed=seed).to_pandas() for seed in range(3)]
    for name in SLOW:
        draws = [one[name][0] for one in alone]
        assert frame[name][0] == pytest.approx(np.mean(draws), rel=1e-6), name
        assert frame[f"{name}_std"][0] > 0, name


def test_frozen_and_training_modules_score_as_others_do(module):
    usual = run([module], proxies=list(SLOW)).to_pandas()[list(SLOW)]
    module.requires_grad_(False).train()
    try:
        frozen = run([module], proxies=list(SLOW)).to_pandas()[list(SLOW)]
        assert module.training and not any(p.requires_grad for p in module.parameters())
    finally:
        module.requires_grad_(True).eval()
    assert frozen.values.tolist() == usual.values.tolist()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(16, 2), nn.Linear(16, 3)

    def forward(self, images):
        tokens = images.mean(1)
        return self.head(self.attention(tokens, tokens, tokens)[0].mean(1))


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(16, 4), nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.first(images.mean((1, 2))).mul_(2))


class Maps(nn.Conv2d):
    def forward(self, images):
        return super().forward(images)


REFUSED = {
    "projections elsewhere": (Attention(), list(SLOW), "nn.MultiheadAttention"),
    "no layer": (nn.Flatten(), ONE_PASS, "has no convolution and no linear layer"),
    "no logits": (Maps(3, 3, 4), (*ONE_PASS, "grasp", "zico"), "needs logits"),
    "overwritten": (Overwriting(), ("fisher",), "output of first was not seen"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_modules_that_are_not_served_say_why(case):
    module, names, why = REFUSED[case]
    names = [name for name in names if name != "l2_norm"]
    table = run([module], proxies=names)
    for name in names:
        assert table.status[name].tolist() == ["unsupported"], name
        assert why in table.reasons[name][0], name


def test_a_label_beyond_the_classes_is_told():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 2))
    reason = run([module], proxies=["snip"]).reasons["snip"][0]
    assert "label 2 is no class of Sequential, which has 2" in reason
    with pytest.raises(ValueError, match="'snip' needs labels"):
        run([ARCH], proxies=["snip"], labels=None)


def test_scores_without_a_value_say_so():
    table = run([ARCH], proxies=["zico"], images=IMAGES[:1], labels=LABELS[:1])
    assert table.status["zico"].tolist() == ["nan"] and "2 batches" in table.reasons["zico"][0]
    equal = run([ARCH], proxies=["zico"], images=IMAGES[[0, 0]], labels=LABELS[[0, 0]])
    assert "equal everywhere" in equal.reasons["zico"][0]
    empty = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 3))
    with torch.no_grad():
        empty[1].weight.zero_()
    with pytest.raises(UndefinedScoreError, match="the logarithm of the synaptic flow is -inf"):
        proxies.synflow(empty, img_size=16)


def test_synflow_of_a_deep_network_is_finite():
    """The sum itself, 1e32 to 1e61 elsewhere, is beyond fp32 here."""
    layers = [nn.Linear(64, 64) for _ in range(40)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(1.0)
    deep = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 64), *layers)
    score = proxies.synflow(deep, img_size=16)
    assert score.dtype == torch.float64 and 150 < score < 200


def test_functions_of_gradients_are_public_and_share_a_pass(module):
    found = proxies.loss_gradients(module, IMAGES, LABELS)
    assert [layer.name for layer in found.layers] == layer_names(module)
    assert not any(layer.gradient.requires_grad for layer in found.layers)
    frame = run([module], proxies=list(ONE_PASS)).to_pandas()
    for name in ONE_PASS:
        assert getattr(proxies, name)(found).item() == frame[name][0], name
    for score in (proxies.grasp, proxies.zico):
        assert not score(module, IMAGES, LABELS).requires_grad
    with pytest.raises(UnsupportedModelError, match="no convolution and no linear layer"):
        proxies.loss_gradients(nn.Flatten(), IMAGES, LABELS)
