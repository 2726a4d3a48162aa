"""Smallest eigenvalues of channel correlations against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.data import frozen_batch
from tvtfast.models import SpatialFeatures, extract_features
from tvtfast.proxies import UndefinedScoreError

PIT = spaces.get("pit")


def smallest(rows):
    return np.linalg.eigvals(np.corrcoef(rows)).real.min()


def test_of_one_image_it_is_the_published_score():
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(1, c, 5, 6, generator=generator).double() for c in (3, 20)]
    expected = sum(smallest(x[0].flatten(1).numpy()) for x in maps)
    found = proxies.meco([SpatialFeatures(x) for x in maps])
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_of_several_images_all_positions_count():
    arch = min(PIT.sample(20, 0), key=PIT.params)
    batch = frozen_batch("digits", 12)
    module = tvtfast.build(arch, space=PIT, img_size=32, patch_size=8, num_classes=10).double()
    with torch.no_grad():
        features = extract_features(module.eval(), batch.images.double())
    expected = sum(
        smallest(np.concatenate([tokens.numpy().T for tokens in one.x[:, one.prefix_tokens :]], 1))
        for one in features
    )
    assert proxies.meco(features).item() == pytest.approx(expected, rel=1e-6)
    table = tvtfast.score(
        [arch], space=PIT, proxies=("meco",), images=batch, patch_size=8, dtype="float64"
    )
    assert table.to_pandas()["meco"][0] == pytest.approx(expected, rel=1e-6)


def test_what_has_no_score_says_why():
    few = SpatialFeatures(torch.rand(2, 9, 2, 2))
    with pytest.raises(UndefinedScoreError, match="9 channels and 8 positions.* show 3 images"):
        proxies.meco([few])
    flat = torch.rand(4, 3, 2, 2)
    flat[:, 1] = 1
    with pytest.raises(UndefinedScoreError, match="a channel of block 1 is constant"):
        proxies.meco([SpatialFeatures(torch.rand(4, 3, 2, 2)), SpatialFeatures(flat)])
