"""Stochastic depth: masks by image and step, however a step is divided."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tvtfast.training.processes import Team
from tvtfast.training.stochastic_depth import StochasticDepth

CPU = torch.device("cpu")


@pytest.fixture
def model():
    from timm.layers import DropPath

    return nn.Sequential(DropPath(0.5), nn.Identity(), DropPath(0.25)).train()


def masks(model, team, parts=1, step=3):
    """What the two layers multiply the images of a step of 12 with."""
    depth = StochasticDepth(model, 0, team)
    images = 12 // team.size
    found = []
    with depth.applied():
        depth.begin(1, step, images)
        for number in range(parts):
            count = images // parts
            depth.part(number * count, count)
            ones = torch.ones(count, 2)
            found.append(torch.stack((model[0](ones)[:, 0], model[2](ones)[:, 0])))
    return torch.cat(found, dim=1)


def test_masks_do_not_depend_on_processes_and_parts(model):
    whole = masks(model, Team(0, 1, CPU))
    assert whole[0].unique().tolist() == [0.0, 2.0]
    assert torch.equal(masks(model, Team(0, 1, CPU), parts=3), whole)
    shared = torch.empty(2, 12)
    for rank in range(2):
        shared[:, rank::2] = masks(model, Team(rank, 2, CPU), parts=2)
    assert torch.equal(shared, whole)
    assert not torch.equal(masks(model, Team(0, 1, CPU), step=4), whole)


def test_rates_are_met_and_the_model_stays_as_it_was(model):
    depth = StochasticDepth(model, 0, Team(0, 1, CPU))
    with depth.applied():
        depth.begin(0, 0, 20_000)
        kept = (model[2](torch.ones(20_000, 1)) > 0).double().mean()
        assert kept == pytest.approx(0.75, abs=0.01)
        model.eval()
        assert torch.equal(model[2](torch.ones(20_000, 1)), torch.ones(20_000, 1))
    assert not model[0]._forward_hooks


def test_windows_as_a_batch_draw_as_timm_does(model):
    depth = StochasticDepth(model, 0, Team(0, 1, CPU))
    windows = torch.ones(8, 1)
    torch.manual_seed(0)
    expected = model[0](windows)
    with depth.applied():
        depth.begin(0, 0, 2)
        torch.manual_seed(0)
        assert torch.equal(model[0](windows), expected)
