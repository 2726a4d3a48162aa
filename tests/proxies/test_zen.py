"""Gaussian complexity against a network whose weights are overwritten."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import kernels, proxies, spaces
from tvtfast.models import CifarResNet, UnsupportedModelError, last_features
from tvtfast.proxies import UndefinedScoreError
from tvtfast.proxies.zen import INPUTS

PIT = spaces.get("pit")


def candidate():
    smallest = min(PIT.sample(20, 0), key=PIT.params)
    return tvtfast.build(smallest, space=PIT, img_size=32, patch_size=8, seed=0).double()


def normal(shape, seed, name):
    drawn = torch.empty(shape)
    kernels.indexed_normal_(drawn, seed=seed, name=f"zen.{name}")
    return drawn.double()


@torch.no_grad()
def overwritten(module, seed):
    module = copy.deepcopy(module).eval()
    variances = []
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.weight.copy_(normal(layer.weight.shape, seed, f"{name}.weight"))
            layer.bias.zero_()
        if isinstance(layer, nn.LayerNorm):
            layer.register_forward_pre_hook(
                lambda m, x: variances.append((x[0] - x[0].mean(-1, True)).square().mean())
            )
    shape = (INPUTS, 3, 32, 32)
    x, step = (normal(shape, seed, name) for name in ("images", "steps"))
    before = last_features(module, x).channels()
    scales = sum(math.log(v.item()) / 2 for v in variances)
    after = last_features(module, x + 0.01 * step).channels()
    moved = [(a - b).square().sum().sqrt().item() for a, b in zip(before, after, strict=True)]
    return math.log(sum(moved) / len(moved)) + scales


def test_score_is_the_definition():
    module = candidate()
    expected = overwritten(module, 3)
    assert proxies.zen(module, img_size=32, seed=3).item() == pytest.approx(expected, rel=1e-9)
    assert proxies.zen(module, img_size=32, seed=4).item() != pytest.approx(expected, rel=1e-6)
    single = proxies.zen(module.float(), img_size=32, seed=3).item()
    assert single == pytest.approx(expected, rel=1e-3)


def test_a_callers_weights_stay_as_they_were():
    module = candidate().train()
    before = copy.deepcopy(module.state_dict())
    proxies.zen(module, img_size=32)
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[name], x) for name, x in module.state_dict().items())


class Still(nn.Module):
    def forward(self, images):
        return nn.functional.layer_norm(images, images.shape[-1:]) * 0


def test_what_has_no_score_says_why():
    with pytest.raises(UnsupportedModelError, match="calls a batch norm"):
        proxies.zen(CifarResNet(8, 10), img_size=32)

    def take(module, images):
        return module(images)

    with pytest.raises(UnsupportedModelError, match="Conv2d called no layer norm"):
        proxies.zen(nn.Conv2d(3, 2, 3), img_size=8, feature_fn=take)
    with pytest.raises(UndefinedScoreError, match="do not move"):
        proxies.zen(Still(), img_size=8, feature_fn=take)
