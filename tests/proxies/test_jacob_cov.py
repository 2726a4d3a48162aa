"""Correlations of input gradients against one backward pass per image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError
from tvtfast.proxies import UndefinedScoreError

PIT = spaces.get("pit")


def candidate(seed=0):
    smallest = min(PIT.sample(20, 0), key=PIT.params)
    return tvtfast.build(smallest, space=PIT, img_size=32, patch_size=8, seed=seed).double()


def images(count=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def published(module, batch):
    rows = []
    for image in batch:
        image = image[None].clone().requires_grad_()
        module.eval()(image).sum().backward()
        rows.append(image.grad.flatten().numpy())
    module.zero_grad(set_to_none=True)
    values = np.linalg.eigvalsh(np.corrcoef(rows))
    return -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))


def test_score_is_the_published_one():
    module, batch = candidate(), images()
    expected = published(module, batch)
    assert proxies.jacob_cov(module, batch).item() == pytest.approx(expected, rel=1e-9)
    found = proxies.jacob_cov(module.float(), batch).item()
    assert found == pytest.approx(expected, rel=1e-3)


def test_nothing_of_the_caller_is_written_to():
    module, batch = candidate().train(), images()
    proxies.jacob_cov(module, batch)
    assert module.training and not batch.requires_grad and batch.grad is None
    assert all(parameter.grad is None for parameter in module.parameters())


class Frozen(nn.Module):
    @torch.no_grad()
    def forward(self, x):
        return x.flatten(1)


def test_what_has_no_score_says_why():
    with pytest.raises(UnsupportedModelError, match="no gradient of Frozen reaches"):
        proxies.jacob_cov(Frozen(), images())
    with pytest.raises(UndefinedScoreError, match="constant over its image"):
        proxies.jacob_cov(nn.Flatten(), images())
    with pytest.raises(UnsupportedModelError, match="returned tuple"):
        proxies.jacob_cov(nn.LSTM(32, 2).double(), images()[:, 0])
