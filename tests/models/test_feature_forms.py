"""What a feature_fn may return, and what is said of the rest."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast.models import SpatialFeatures, UnsupportedModelError, extract_features, pooled_features

NET = nn.Identity()
IMAGES = torch.zeros(2, 3, 16, 16)


def features(returned, images=IMAGES):
    return extract_features(NET, images, feature_fn=lambda module, x: returned)


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize("side", [2, 3, 14])
def test_tokens_are_the_map_they_stand_for(prefix, side):
    tokens = random(2, prefix + side**2, 5)
    (found,) = features(tokens)
    assert (found.grid, found.prefix_tokens) == ((side, side), prefix)
    plane = tokens[:, prefix:].mT.reshape(2, 5, side, side)
    (expected,) = features(plane)
    torch.testing.assert_close(found.attention_map(), expected.attention_map())
    torch.testing.assert_close(found.samples().sort(1)[0], plane.flatten(1).sort(1)[0])


def test_a_vector_is_a_map_of_one_position():
    vector = random(2, 5)
    (found,) = features(vector)
    assert found.size == (1, 1)
    pooled = pooled_features(NET, IMAGES, feature_fn=lambda module, x: vector)
    assert torch.equal(pooled, vector)


def test_blocks_may_have_several_forms():
    tokens, plane = random(2, 17, 5), random(2, 5, 4, 4)
    own = SpatialFeatures(random(2, 21, 5), (4, 4), 5)
    for returned in ([tokens, plane, own], (tokens, plane, own), iter([tokens, plane, own])):
        found = features(returned)
        assert [one.size for one in found] == [(4, 4)] * 3
        assert [one.prefix_tokens for one in found] == [1, 0, 5] and found[2] is own


@pytest.mark.parametrize(
    ("returned", "images", "message"),
    [
        (random(2, 21, 5), IMAGES, "21 tokens for images of 16 x 16 pixels"),
        (random(2, 16, 5), IMAGES[:, :, :8], "16 tokens for images of 8 x 16 pixels"),
        (random(2, 0, 5), IMAGES, "0 tokens"),
        (random(16, 2, 5), IMAGES, "of shape [16, 2, 5] for 2 images"),
        (random(2), IMAGES, "of shape [2] for 2 images"),
        (random(2, 1, 5, 4, 4), IMAGES, "of shape [2, 1, 5, 4, 4]"),
        (None, IMAGES, "feature_fn returned NoneType"),
        ({"last": random(2, 5, 4, 4)}, IMAGES, "feature_fn returned dict"),
    ],
)
def test_other_forms_are_refused_with_those_that_there_are(returned, images, message):
    with pytest.raises(UnsupportedModelError, match=re.escape(message)) as caught:
        features(returned, images)
    for form in ("[B, C, H, W]", "tokens [B, N, C]", "[B, C],", "SpatialFeatures(x, grid="):
        assert form in str(caught.value)


def test_a_network_without_features_is_told_the_forms():
    with pytest.raises(UnsupportedModelError, match=r"pass feature_fn=.*tokens \[B, N, C\]"):
        extract_features(NET, IMAGES)


def test_proxies_take_every_form(teacher):
    """Teacher and student by tokens score as by maps; of vectors there is no attention map."""
    net = tvtfast.models.CifarResNet(8, 10)
    images = random(2, 3, 32, 32)

    def plane(module, x):
        return module.forward_intermediates(x, intermediates_only=True)[-1]

    def tokens(module, x):
        return plane(module, x).flatten(2).mT

    values = [
        tvtfast.Measure(teacher=teacher, feature_fn=fn)(net, images) for fn in (plane, tokens)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5) and values[0] < 0
    vector = {"feature_fn": lambda module, x: plane(module, x).mean((2, 3))}
    assert tvtfast.Measure("ntk_condition", **vector)(net, images) == pytest.approx(
        tvtfast.Measure("ntk_condition", feature_fn=plane)(net, images), rel=1e-4
    )
    with pytest.raises(tvtfast.ScoringError, match="network have one position.*before pooling"):
        tvtfast.Measure(teacher=teacher, **vector)(net, images)
    blind = tvtfast.load_teacher(teacher.module, **vector)
    table = tvtfast.score([net], proxies="teacher_aware", teacher=blind, images=images)
    assert table.status["teacher_aware"][0] == "nan"
    assert "teacher have one position" in table.reasons["teacher_aware"][0]
