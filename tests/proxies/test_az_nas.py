"""The parts of AZ-NAS against loops in fp64, and their combination."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast import kernels, proxies, spaces
from tvtfast.data import frozen_batch
from tvtfast.models import SpatialFeatures, UnsupportedModelError, extract_features
from tvtfast.proxies import UndefinedScoreError
from tvtfast.scoring.ranking import combine

PIT = spaces.get("pit")


def candidate(space=PIT):
    smallest = min(space.sample(20, 0), key=space.params)
    return tvtfast.build(smallest, space=space, img_size=32, patch_size=8, seed=0).double()


def images(count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def features(module, batch):
    with torch.no_grad():
        return extract_features(module.eval(), batch)


def entropies(found):
    """By NumPy, from the covariance of the channels."""
    values = []
    for one in found:
        tokens = one.x[:, one.prefix_tokens :].flatten(0, 1).numpy()
        eigenvalues = np.clip(np.linalg.eigvalsh(np.cov(tokens.T)), 0, None)
        shares = eigenvalues / eigenvalues.sum()
        values.append(-sum(s * math.log(s) for s in shares if s > 0))
    return values


@pytest.mark.parametrize("count", [1, 4])
def test_expressivity_and_progressivity(count):
    """More channels than positions, and fewer."""
    found = features(candidate(), images(count))
    expected = entropies(found)
    assert proxies.az_expressivity(found).item() == pytest.approx(sum(expected), rel=1e-9)
    least = min(b - a for a, b in zip(expected, expected[1:], strict=False))
    assert proxies.az_progressivity(found).item() == pytest.approx(least, rel=1e-7)


def spectral_norms(module, batch, seed):
    """Blocks one by one, signs through each, and least squares by NumPy."""
    found = extract_features(module.eval(), batch)
    norms = []
    for block in range(1, len(found)):
        before, after = found[block - 1], found[block]
        shape = (len(batch), after.x.shape[2], math.prod(after.size))
        drawn = torch.empty(shape)
        kernels.indexed_normal_(drawn, seed=seed, name=f"az_trainability.{block}")
        signs = drawn.sign().double()
        given = torch.zeros_like(after.x)
        given[:, after.prefix_tokens :] = signs.transpose(1, 2)
        gradient = torch.autograd.grad(after.x, before.x, given, retain_graph=True)[0]
        reached = gradient[:, before.prefix_tokens :].transpose(1, 2)
        if before.size != after.size:
            reached = F.adaptive_avg_pool2d(reached.unflatten(2, before.size), after.size)
            reached = reached.flatten(2)
        g, h = (x.permute(0, 2, 1).flatten(0, 1).numpy() for x in (signs, reached))
        norms.append(np.linalg.norm(np.linalg.lstsq(g, h, rcond=None)[0], 2))
    return norms


@pytest.mark.parametrize("space", ["pit", "autoformer-tiny"])
def test_trainability(space):
    module, batch = candidate(spaces.get(space)), images(2)
    expected = np.mean([2 - s - 1 / s for s in spectral_norms(module, batch, 5)])
    found = proxies.az_trainability(module, batch, seed=5)
    assert found.item() == pytest.approx(expected, rel=1e-7) and not found.requires_grad
    assert proxies.az_trainability(module, batch, seed=6) != found
    assert all(parameter.grad is None for parameter in module.parameters())


def test_blocks_that_change_nothing_are_trainable_in_full():
    """Whatever the numbers of channels and positions."""

    def chain(module, x):
        second = x * 1.0
        return [x, second, second * 1.0]

    for shape in ((1, 9, 2, 2), (5, 3, 4, 4)):
        batch = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        found = proxies.az_trainability(nn.Identity(), batch, feature_fn=chain)
        assert found.item() == pytest.approx(0, abs=1e-9)


def test_what_has_no_score_says_why():
    flat = [SpatialFeatures(torch.ones(2, 3, 2, 2))]
    with pytest.raises(UndefinedScoreError, match="features of block 0 are constant"):
        proxies.az_expressivity(flat)
    one = [SpatialFeatures(torch.rand(2, 3, 2, 2))]
    with pytest.raises(UndefinedScoreError, match="there is one alone"):
        proxies.az_progressivity(one)
    with pytest.raises(UndefinedScoreError, match="there is none"):
        proxies.az_trainability(nn.Identity(), one[0].x, feature_fn=lambda m, x: x)
    with pytest.raises(UnsupportedModelError, match="features of block 1 are not made of those"):
        proxies.az_trainability(nn.Identity(), one[0].x, feature_fn=lambda m, x: [2 * x, 3 * x])


def test_ranks_are_combined_by_their_logarithms():
    frame = pd.DataFrame({"a": [1.0, 2.0, 2.0, 9.0], "b": [4.0, 1.0, 3.0, 2.0]})
    up = dict.fromkeys(frame, True)
    ranks = [(1, 4), (2.5, 1), (2.5, 3), (4, 2)]
    expected = [math.log(a / 4) + math.log(b / 4) for a, b in ranks]
    assert combine(frame, up, "log_rank_sum").tolist() == pytest.approx(expected)
    down = combine(frame, {"a": False, "b": True}, "log_rank_sum")
    assert down[0] == pytest.approx(0.0), "first in both"
    other = combine(frame[:1], up, "log_rank_sum", reference=frame)
    assert other.tolist() == pytest.approx(expected[:1])


def test_one_low_rank_weighs_more_than_several_high_ones():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [3.0, 2.0, 1.0]})
    scores = combine(frame, dict.fromkeys(frame, True), "log_rank_sum")
    assert scores[1] > scores[0] == pytest.approx(scores[2])


def test_a_table_has_the_four_parts_and_their_combination():
    archs = sorted(PIT.sample(20, 0), key=PIT.params)[:3]
    table = tvtfast.score(
        archs, space=PIT, proxies=("az_nas",), images=frozen_batch("digits", 3), patch_size=8
    )
    frame = table.to_pandas()
    parts = ["az_expressivity", "az_progressivity", "az_trainability", "flops"]
    expected = np.log(frame[parts].rank() / 3).sum(axis=1)
    assert frame["az_nas"].tolist() == pytest.approx(expected.tolist())
