"""The neural tangent kernel from one backward pass against explicit per-sample gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError, pooled_features
from tvtfast.proxies import UndefinedScoreError

SPACES = (
    "asvit",
    "autoformer-tiny",
    "autoformer-original-tiny",
    "pit",
    "vitas-deit",
    "vitas-twins",
)
SMALL = "4,2,2,1|2,1,2,2|2,1,2,1|2,1,2,1|16,16"


def candidate(space, seed=0):
    """A small candidate for images of 32 x 32, fp64."""
    if space == "asvit":
        return tvtfast.build(SMALL, space=space, img_size=32, seed=seed).double()
    smallest = min(spaces.get(space).sample(20, 0), key=spaces.get(space).params)
    return tvtfast.build(smallest, space=space, img_size=32, patch_size=8, seed=seed).double()


def images(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def explicit(module, batch):
    """Backward of one image at a time, all tensors named weight that received a gradient."""
    rows = []
    for image in batch:
        module.zero_grad(set_to_none=True)
        pooled_features(module, image[None]).sum().backward()
        rows.append(
            torch.cat(
                [
                    parameter.grad.flatten()
                    for name, parameter in module.named_parameters()
                    if "weight" in name and parameter.grad is not None
                ]
            )
        )
    module.zero_grad(set_to_none=True)
    gradients = torch.stack(rows)
    return gradients @ gradients.T


@pytest.mark.parametrize("space", SPACES)
def test_layers_give_the_explicit_kernel(space):
    module, batch = candidate(space), images()
    expected = explicit(module, batch)
    found = proxies.ntk_gram(module, batch)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("space", ["asvit", "pit"])
def test_all_methods_agree(space):
    module, batch = candidate(space), images(4)
    expected = proxies.ntk_gram(module, batch, method="layers")
    for method in ("samples", "published"):
        found = proxies.ntk_gram(module, batch, method=method)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    single = proxies.ntk_gram(module.float(), batch)
    torch.testing.assert_close(single, expected, rtol=1e-4, atol=0)


def test_condition_is_that_of_the_kernel():
    module, batch = candidate("asvit"), images(5)
    eigenvalues = torch.linalg.eigvalsh(explicit(module, batch))
    found = proxies.ntk_condition(module, batch)
    assert found.item() == pytest.approx((eigenvalues[-1] / eigenvalues[0]).item(), rel=1e-6)
    assert found == proxies.ntk_condition(module, batch) >= 1
    assert proxies.get("ntk_condition").higher_is_better is False


class Convolutions(nn.Module):
    """Strides, padding, dilation, groups, and one layer called twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.group = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.norm = nn.LayerNorm(8)
        self.shared = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 8)

    def pooled_features(self, batch):
        x = self.group(self.stem(batch)).flatten(2).mT
        x = torch.tanh(self.shared(self.norm(x)))
        return self.shared(x).mean(dim=1)


def test_layers_of_every_kind():
    module = tvtfast.initialize_(Convolutions(), 1).double()
    batch = images(4)
    expected = explicit(module, batch)
    for method in ("layers", "samples", "published"):
        found = proxies.ntk_gram(module, batch, method=method)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_frozen_weights_do_not_count():
    module, batch = tvtfast.initialize_(Convolutions(), 1).double(), images(3)
    module.shared.weight.requires_grad_(False)
    expected = explicit(module, batch)
    for method in ("layers", "samples", "published"):
        found = proxies.ntk_gram(module, batch, method=method)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    module.requires_grad_(False)
    for method in ("layers", "samples", "published"):
        with pytest.raises(UnsupportedModelError, match="no weight of Convolutions receives"):
            proxies.ntk_gram(module, batch, method=method)


class Scaled(nn.Module):
    """A weight of a layer that nobody knows."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def pooled_features(self, batch):
        return (batch * self.weight[:, None, None]).square().mean(dim=(2, 3))


def test_unknown_layers():
    module, batch = Scaled(), images(2)
    torch.testing.assert_close(
        proxies.ntk_gram(module.double(), batch), explicit(module, batch), rtol=1e-12, atol=0
    )
    with pytest.raises(UnsupportedModelError, match="is a Scaled, and .* use method='samples'"):
        proxies.ntk_gram(module, batch, method="layers")
    with pytest.raises(ValueError, match="allowed: layers, samples, published"):
        proxies.ntk_gram(module, batch, method="fast")


def test_convolutions_with_other_padding_are_refused():
    module = tvtfast.initialize_(Convolutions(), 1).double()
    module.stem = nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular").double()
    with pytest.raises(UnsupportedModelError, match="pads otherwise; use method='samples'"):
        proxies.ntk_gram(module, images(2), method="layers")


class Tied(nn.Module):
    """A layer whose weight works beside it: instead of it, or once more."""

    def __init__(self, calls):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 8, stride=8)
        self.mix = nn.Linear(6, 6)
        self.calls = calls

    def pooled_features(self, batch):
        x = self.stem(batch).flatten(2).mT
        dtype = self.mix.weight.dtype  # looking at it is no use of it
        for call in self.calls:
            x = torch.tanh(self.mix(x) if call == "layer" else nn.functional.linear(x, self.used))
        return x.to(dtype).mean(dim=1)

    @property
    def used(self):
        return self.mix.weight.mT


@pytest.mark.parametrize("calls", (("beside",), ("layer", "beside")))
def test_weights_that_are_used_beside_their_layer(calls):
    """They were left out of the kernel without a word."""
    module, batch = tvtfast.initialize_(Tied(calls), 1).double(), images(3)
    expected = explicit(module, batch)
    for method in ("samples", "published"):
        found = proxies.ntk_gram(module, batch, method=method)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    with pytest.raises(UnsupportedModelError, match=r"mix\.weight: used beside the forward of the"):
        proxies.ntk_gram(module, batch, method="layers")
    plain = tvtfast.initialize_(Tied(("layer",)), 1).double()
    torch.testing.assert_close(
        proxies.ntk_gram(plain, batch, method="layers"), explicit(plain, batch), rtol=1e-9, atol=0
    )


class Doubled(torch.autograd.Function):
    """A function whose arguments no mode of torch sees."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient @ weight.T, (x.mT @ gradient).sum(dim=0)


def test_weights_that_a_gradient_reaches_though_their_layer_does_not_run():
    module, batch = Tied(()).double(), images(3)
    module.pooled_features = lambda batch: Doubled.apply(
        module.stem(batch).flatten(2).mT, module.mix.weight
    ).mean(dim=1)
    with pytest.raises(UnsupportedModelError, match=r"mix\.weight: used beside"):
        proxies.ntk_gram(module, batch, method="layers")


def test_draws_that_share_a_pass_see_weights_beside_their_layers():
    first, second = (candidate("vitas-deit", seed) for seed in (0, 1))
    weight = first.blocks[0].mlp.fc1.weight
    embed = first._embedded
    first._embedded = lambda batch: (
        embed(batch)
        + nn.functional.linear(torch.zeros_like(embed(batch)), weight).mean(dim=-1, keepdim=True)
    )
    with pytest.raises(UnsupportedModelError, match=r"blocks\.0\.mlp\.fc1\.weight: used beside"):
        proxies.ntk_gram([first, second], images(2))


def test_timm_models():
    timm = pytest.importorskip("timm")
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=16, embed_dim=12, depth=2, num_heads=2
    ).double()
    batch = images(3)
    module.eval()
    torch.testing.assert_close(
        proxies.ntk_gram(module, batch), explicit(module, batch), rtol=1e-9, atol=0
    )


def test_equal_images_have_no_condition():
    module, batch = candidate("asvit"), images(3)
    batch[2] = batch[0]
    with pytest.raises(UndefinedScoreError, match="is singular: eigenvalues from"):
        proxies.ntk_condition(module, batch)
    table = tvtfast.score(
        [SMALL], space="asvit", proxies=["ntk_condition"], images=batch.float(), num_classes=10
    )
    assert table.status["ntk_condition"][0] == "nan"
    assert "singular" in table.reasons["ntk_condition"][0]


def test_a_broken_network_has_no_condition():
    module = tvtfast.build(SMALL, space="asvit", img_size=32)
    with torch.no_grad():
        module.merges[0].reduction.weight.fill_(math.nan)
    with pytest.raises(UndefinedScoreError, match="holds NaN or infinite"):
        proxies.ntk_condition(module, images())


def test_scores_of_a_space(tmp_path):
    batch = images(4).float()
    names = ["ntk_condition", "length_distortion"]
    result = tvtfast.search(
        "asvit", trials=3, proxies=names, images=batch, run_dir=tmp_path, num_classes=10
    )
    frame = result.table.to_pandas()
    assert (frame["ntk_condition"] >= 1).all() and (frame["length_distortion"] > 0).all()
    module = tvtfast.build(frame["arch"][0], space="asvit", img_size=32, num_classes=10)
    assert frame["ntk_condition"][0] == pytest.approx(
        proxies.ntk_condition(module, batch).item(), rel=1e-9
    )
