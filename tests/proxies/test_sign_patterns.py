"""Scores of which units are active, against loops over images and units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError
from tvtfast.proxies import UndefinedScoreError

PIT = spaces.get("pit")


def candidate():
    smallest = min(PIT.sample(20, 0), key=PIT.params)
    return tvtfast.build(smallest, space=PIT, img_size=32, patch_size=8, seed=0).double()


def images(count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def codes(module, batch):
    """Whether every unit is active, one image after the other, ``[B, units]``."""
    rows = []
    for image in batch:
        seen = []

        def see(layer, x, seen=seen):
            seen.append(x[0].flatten() > 0)

        handles = [
            layer.register_forward_pre_hook(see)
            for layer in module.modules()
            if isinstance(layer, (nn.GELU, nn.ReLU))
        ]
        with torch.no_grad():
            module.eval()(image[None])
        for handle in handles:
            handle.remove()
        rows.append(torch.cat(seen))
    return torch.stack(rows)


def test_naswot_is_the_definition():
    module, batch = candidate(), images()
    rows = codes(module, batch).numpy()
    kernel = [[float((a == b).sum()) for b in rows] for a in rows]
    expected = np.linalg.slogdet(kernel)[1]
    assert proxies.naswot(module, batch).item() == pytest.approx(expected, rel=1e-12)


def test_swap_is_the_definition():
    module, batch = candidate(), images(14)
    distinct = len({tuple(unit) for unit in codes(module, batch).T.tolist()})
    assert 2 < distinct < 2**14
    assert proxies.swap(module, batch).item() == distinct


def test_swap_of_more_images_than_a_number_has_bits():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 9), nn.ReLU())
    batch = torch.randn(130, 3, 2, 2)
    with torch.no_grad():
        module[1].weight[7:20] = module[1].weight[0]
        module[1].bias[7:20] = module[1].bias[0]
    distinct = len({tuple(unit) for unit in codes(module, batch).T.tolist()})
    assert distinct < 49 and proxies.swap(module, batch).item() == distinct


class Calls(nn.Module):
    """Rectifies by functions, methods and modules alike."""

    def __init__(self):
        super().__init__()
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(torch.relu(F.gelu(x.flatten(1) - 0.5) - 0.1).relu() - 0.2)


def test_functions_and_methods_count_too():
    batch = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x = batch.flatten(1) - 0.5
    y = F.gelu(x) - 0.1
    seen = torch.cat((x, y, y.relu(), y.relu() - 0.2), dim=1) > 0
    kernel = [[float((a == b).sum()) for b in seen] for a in seen]
    assert proxies.naswot(Calls(), batch).item() == pytest.approx(np.linalg.slogdet(kernel)[1])


def test_equal_images_and_networks_without_rectifiers_have_no_score():
    batch = images(3)
    batch[2] = batch[0]
    with pytest.raises(UndefinedScoreError, match="equal images in the batch"):
        proxies.naswot(candidate(), batch)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)).double()
    for score in (proxies.naswot, proxies.swap):
        with pytest.raises(UnsupportedModelError, match="called no ReLU"):
            score(linear, batch)


def test_every_space_is_served_and_modes_stay():
    batch = images(3).float()
    asvit = tvtfast.build("4,2,2,1|2,1,2,2|2,1,2,1|2,1,2,1|16,16", space="asvit", img_size=32)
    for module, score in itertools.product(
        (asvit, candidate().float()), (proxies.naswot, proxies.swap)
    ):
        module.train()
        assert score(module, batch) > 0
        assert all(part.training for part in module.modules())


def test_linear_regions_are_the_distinct_codes():
    """Few units for many images."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2), nn.GELU())
    batch = torch.randn(50, 3, 2, 2)
    distinct = len({tuple(row) for row in codes(module, batch).tolist()})
    assert 1 < distinct < 50 and proxies.linear_regions(module, batch).item() == distinct


def test_a_region_for_every_image_is_no_score():
    with pytest.raises(UndefinedScoreError, match="every one of the 3 images lies in a linear"):
        proxies.linear_regions(candidate(), images(3))
    batch = images(3)
    batch[2] = batch[0]
    assert proxies.linear_regions(candidate(), batch).item() == 2
