"""A population inherits from a superformer what its candidates are cut out with."""

from __future__ import annotations

import random

import pytest
import torch

from tvtfast.population import Population
from tvtfast.spaces import AutoFormerSpace
from tvtfast.supernet import Superformer, superformer_weights

PLAIN = AutoFormerSpace("test-bank-plain", (12, 18, 24), (1, 2), (1.5, 2.0), (2, 3))
RELATIVE = AutoFormerSpace("test-bank-relative", (12, 18), (1, 2), (1.5, 2.0), (1, 2), True)
OPTIONS = {"img_size": 32, "patch_size": 8, "num_classes": 5}


@pytest.mark.parametrize("space", [PLAIN, RELATIVE], ids=["plain", "relative"])
def test_features_are_those_of_the_superformer(space):
    model = Superformer(space, **OPTIONS).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    archs = [space.draw(random.Random(seed)) for seed in range(6)]
    images = torch.randn(2, 3, 32, 32, generator=generator)
    population = Population(archs, space=space, weights=superformer_weights(model), img_size=32)
    for found in population.features(images):
        for rows, x in zip(found.rows, found.features.x, strict=True):
            for row in rows:
                with torch.no_grad():
                    expected = model.features_and_outputs(images, archs[row])[0][-1].x
                assert (x - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="shares 'cyclic' with qkv_mode 2"):
        superformer_weights(Superformer(PLAIN, sharing="cyclic", qkv_mode=2, **OPTIONS))
    with pytest.raises(ValueError, match="qkv_mode 1"):
        superformer_weights(Superformer(PLAIN, qkv_mode=1, **OPTIONS))
