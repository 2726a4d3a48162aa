"""Weights that are drawn once have the values of those that are drawn for each candidate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import initialization, spaces
from tvtfast.initialization import Normal, ParameterInit, draw_, initialize_
from tvtfast.models import SharedDraws, blank

OPTIONS = {"img_size": 32, "num_classes": 5}


@pytest.mark.parametrize("name", ["autoformer-tiny", "autoformer-original-tiny", "pit", "asvit"])
def test_models_have_the_weights_that_they_have_alone(name):
    space = spaces.get(name)
    archs = sorted(space.sample(6, 0), key=lambda a: space.params(a, **OPTIONS))[:4]
    draw = SharedDraws()
    for seed, arch in [(0, archs[1]), (0, archs[0]), (1, archs[2]), (0, archs[3])]:
        model = blank(arch, space=space, **OPTIONS).to_empty(device="cpu")
        shared = initialize_(model, seed, draw=draw).state_dict()
        alone = tvtfast.build(arch, space=space, seed=seed, **OPTIONS).state_dict()
        torch.testing.assert_close(shared, alone, rtol=0, atol=0)
        model.get_parameter("head.weight").data.zero_()  # a copy: the next has its own


def test_parameters_of_all_shapes():
    draw = SharedDraws()
    init = ParameterInit(Normal(1.0), groups=3)
    for shape in ((6,), (12, 4), (6, 8), (9, 2), (6, 2, 3, 3), (3, 4, 3, 2), (6, 2, 2, 2), ()):
        kind = ParameterInit(Normal(1.0)) if not shape else init
        found, truth = torch.empty(shape), torch.empty(shape)
        draw(found, "w", 7, kind)
        draw_(truth, "w", 7, kind)
        assert torch.equal(found, truth), shape
    halves = torch.empty(4, dtype=torch.bfloat16)
    draw(halves, "w", 7, ParameterInit(Normal(1.0)))
    assert halves.dtype == torch.bfloat16 and halves.isfinite().all()


def test_a_population_that_is_scored_one_by_one_draws_each_weight_once(monkeypatch):
    space = spaces.get("autoformer-tiny")
    drawn = []

    def counting(parameter, name, seed, init):
        drawn.append(name)
        draw_(parameter, name, seed, init)

    monkeypatch.setattr("tvtfast.models.shared_draws.draw_", counting)
    monkeypatch.setattr(initialization, "draw_", counting)
    archs = [
        space.decode({"hidden_dim": d, "depth": 1, "mlp_ratio": [2.0], "num_heads": [1]})
        for d in (48, 24, 36)
    ]
    seen = tvtfast.proxies.Proxy(
        "seen",
        lambda inputs: sum(isinstance(m, nn.Module) for m in [inputs.module]),
        needs=frozenset({"weights"}),
    )
    tvtfast.score(archs, space=space, proxies=[seen], img_size=16, patch_size=8, num_classes=3)
    assert drawn.count("blocks.0.mlp.fc1.weight") == drawn.count("head.weight") == 1
