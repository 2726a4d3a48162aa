"""Trace of the neural tangent kernel against one backward pass per image."""

from __future__ import annotations

import pytest
import torch

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import pooled_features
from tvtfast.proxies import UndefinedScoreError

PIT = spaces.get("pit")


def candidate(seed=0):
    smallest = min(PIT.sample(20, 0), key=PIT.params)
    return tvtfast.build(smallest, space=PIT, img_size=32, patch_size=8, seed=seed).double()


def images(count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def explicit(module, batch):
    squares = 0.0
    for image in batch:
        module.zero_grad(set_to_none=True)
        pooled_features(module.eval(), image[None]).sum().backward()
        squares += sum(
            parameter.grad.square().sum().item()
            for name, parameter in module.named_parameters()
            if "weight" in name and parameter.grad is not None
        )
    module.zero_grad(set_to_none=True)
    return (squares / len(batch)) ** 0.5


def test_trace_is_the_mean_square_length_of_gradients():
    modules, batch = [candidate(0), candidate(1)], images()
    expected = [explicit(module, batch) for module in modules]
    found = [proxies.ntk_trace(module, batch).item() for module in modules]
    assert found == pytest.approx(expected, rel=1e-9)
    assert proxies.ntk_trace(modules, batch).tolist() == pytest.approx(expected, rel=1e-9)


def test_infinite_weights_have_no_trace():
    module = candidate()
    with torch.no_grad():
        module.stages[0][0].mlp.fc1.weight[0, 0] = torch.inf
    with pytest.raises(UndefinedScoreError, match="NaN or infinite"):
        proxies.ntk_trace(module, images())
