"""The complexity metrics of As-ViT against the published form, differences and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import IdentityNorms, SpatialFeatures, pooled_features
from tvtfast.proxies.length_distortion import circle_directions

SMALL = "4,2,2,1|2,1,2,2|2,1,2,1|2,1,2,1|16,16"
"""An As-ViT of 64 features."""
SPACES = (
    "asvit",
    "autoformer-tiny",
    "autoformer-original-tiny",
    "pit",
    "vitas-deit",
    "vitas-twins",
)


def as_vit(img_size=32, seed=0):
    return tvtfast.build(SMALL, space="asvit", img_size=img_size, seed=seed)


def transformer(space):
    """A small candidate of another space, for images of 32 x 32."""
    archs = spaces.get(space).sample(20, 0)
    smallest = min(archs, key=spaces.get(space).params)
    return tvtfast.build(smallest, space=space, img_size=32, patch_size=8)


def central_differences(module, img_size, directions, step=1e-4, points=10):
    """Sum over the points of ``|z(t + e) - z(t - e)| / 2e``, point by point."""
    total = 0.0
    for n in range(points):
        angle = 2 * math.pi * n / (points - 1)
        ends = []
        for t in (angle + step, angle - step):
            image = math.cos(t) * directions[0] + math.sin(t) * directions[1]
            with torch.no_grad(), IdentityNorms():
                ends.append(pooled_features(module, image.view(1, 3, *img_size))[0])
        total += ((ends[0] - ends[1]).norm() / (2 * step)).item()
    return total


def test_one_pass_is_the_published_form():
    module = as_vit()
    for points, tolerance in ((10, 1e-5), (3, 1e-12)):
        fast, slow = (
            proxies.length_distortion(module, img_size=32, points=points, seed=3, method=method)
            for method in ("forward", "published")
        )
        module.double()
        assert fast.dtype == torch.float64
        assert fast.item() == pytest.approx(slow.item(), rel=tolerance)


@pytest.mark.parametrize("img_size", [(32, 32), (40, 28), (64, 32)])
def test_central_differences(img_size):
    """Windows that reach over the edge of the grid are among them."""
    module = as_vit(img_size, seed=1).double()
    directions = circle_directions(5, img_size)
    expected = central_differences(module, img_size, directions)
    found = proxies.length_distortion(module, img_size=img_size, directions=directions)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    single = module.float()
    found = proxies.length_distortion(single, img_size=img_size, directions=directions)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_candidates_are_done_by_hand(space, monkeypatch):
    """No candidate of a registered space falls back on ``torch.func.jvp``."""
    module = as_vit() if space == "asvit" else transformer(space)
    expected = proxies.length_distortion(
        module, img_size=32, feature_fn=lambda m, x: m.forward_intermediates(x)[1][-1]
    )
    monkeypatch.setattr(torch.func, "jvp", None)
    found = proxies.length_distortion(module, img_size=32)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_any_other_module():
    timm = pytest.importorskip("timm")
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=8, embed_dim=12, depth=2, num_heads=2
    ).train()
    fast = proxies.length_distortion(module, img_size=16)
    slow = proxies.length_distortion(module, img_size=16, method="published")
    assert fast.item() == pytest.approx(slow.item(), rel=1e-5)
    assert module.training and module.norm.training
    assert all(parameter.grad is None for parameter in module.parameters())


class Rotation(nn.Module):
    """An isometry of images times a radius: circles go to circles."""

    def __init__(self, radius, pixels):
        super().__init__()
        weight = torch.linalg.qr(torch.randn(pixels, pixels, dtype=torch.float64))[0]
        self.weight = nn.Parameter(radius * weight)


def rotated(module, images):
    return SpatialFeatures((images.flatten(1) @ module.weight.T)[:, :, None, None])


@pytest.mark.parametrize("radius", [0.25, 3.0])
@pytest.mark.parametrize("points", [2, 7, 10])
def test_circles_have_known_lengths_and_curvatures(radius, points):
    module = Rotation(radius, 3 * 4 * 5)
    known = {
        proxies.length_distortion: radius * points,
        proxies.curvature: points / radius,
        proxies.gauss_length: points,
    }
    for measure, expected in known.items():
        found = measure(module, img_size=(4, 5), points=points, feature_fn=rotated)
        assert found.item() == pytest.approx(expected, rel=1e-10), measure.__name__


def test_second_order_against_differences():
    """``a`` from central differences of the published velocities' formula."""
    module, size = as_vit(seed=2).double(), (32, 32)
    directions, step = circle_directions(0, size), 1e-3

    def feature(t):
        image = math.cos(t) * directions[0] + math.sin(t) * directions[1]
        with torch.no_grad(), IdentityNorms():
            return pooled_features(module, image.view(1, 3, *size))[0]

    kappa, length = 0.0, 0.0
    for n in range(3):
        before, here, after = (feature(math.pi * n + e) for e in (-step, 0.0, step))
        v, a = (after - before) / (2 * step), (after - 2 * here + before) / step**2
        area = ((v @ v) * (a @ a) - (v @ a) ** 2).sqrt()
        kappa += (area / (v @ v) ** 1.5).item()
        length += (area / (v @ v)).item()
    arguments = {"img_size": size, "points": 3, "directions": directions}
    assert proxies.curvature(module, **arguments).item() == pytest.approx(kappa, rel=1e-4)
    assert proxies.gauss_length(module, **arguments).item() == pytest.approx(length, rel=1e-4)


def test_the_circle_is_orthonormal_and_keyed_by_the_seed():
    one, same, other = (circle_directions(seed, (8, 12)) for seed in (1, 1, 2))
    torch.testing.assert_close(one @ one.T, torch.eye(2, dtype=torch.float64))
    assert torch.equal(one, same) and not torch.allclose(one, other)
    module = as_vit()
    values = [proxies.length_distortion(module, img_size=32, seed=seed) for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_both_circles_of_a_basis_have_one_length():
    """Swapping the directions runs through the circle the other way round."""
    module, directions = as_vit().double(), circle_directions(0, (32, 32))
    first, second = directions
    turned = torch.stack((first, -second))
    lengths = [
        proxies.length_distortion(module, img_size=32, directions=d) for d in (directions, turned)
    ]
    torch.testing.assert_close(*lengths)


def test_norms_are_left_out_and_put_back():
    module = as_vit()
    images = torch.randn(2, 3, 32, 32)
    before = module(images)
    length = proxies.length_distortion(module, img_size=32)
    torch.testing.assert_close(module(images), before, rtol=0, atol=0)
    module.set_norm("identity")
    assert proxies.length_distortion(module, img_size=32) == length


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "backward"}, "method is 'backward'; allowed: forward, published"),
        ({"points": 1}, "points is 1; give 2 or more"),
        ({"directions": torch.ones(2, 9)}, r"pass two orthonormal rows \[2, 3072\]"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        proxies.length_distortion(as_vit(), img_size=32, **arguments)


def test_scores_of_a_space():
    """Means over draws of weights and circle; no images needed; the size of the images counts.

    Draws that are computed together agree with single ones as far as fp32 does.
    """
    names = ("length_distortion", "curvature", "gauss_length")
    options = {"space": "asvit", "proxies": names, "img_size": 32}
    frame = tvtfast.score([SMALL], seed=4, init_seeds=2, **options).to_pandas()
    for name in names:
        draws = [
            getattr(proxies, name)(as_vit(seed=seed), img_size=32, seed=seed).item()
            for seed in (4, 5)
        ]
        assert frame[name][0] == pytest.approx(sum(draws) / 2, rel=1e-6)
        assert frame[f"{name}_std"][0] > 0
    larger = tvtfast.score([SMALL], seed=4, **options | {"img_size": 64}).to_pandas()
    assert larger["length_distortion"][0] != draws[0]


def test_modules_have_the_score_of_their_architecture(tmp_path):
    options = {"space": "asvit", "proxies": ["length_distortion"], "img_size": 32, "seed": 3}
    frame = tvtfast.score([SMALL, as_vit(seed=3)], **options).to_pandas()
    assert frame["length_distortion"][0] == frame["length_distortion"][1]


def test_a_still_image_has_no_curvature():
    still = nn.Linear(1, 1)
    table = tvtfast.score(
        [still],
        proxies=["curvature"],
        img_size=4,
        patch_size=4,
        feature_fn=lambda module, images: module.weight * torch.ones(len(images), 2, 1, 1),
    )
    assert table.status["curvature"][0] == "nan"
