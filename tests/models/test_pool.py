"""What the classifier reads: the class token, or the mean over tokens."""

from __future__ import annotations

import pytest
import timm
import torch

import tvtfast
from tvtfast import spaces

DEIT_TINY = {"hidden_dim": 192, "depth": 12, "mlp_ratio": [4.0] * 12, "num_heads": [3] * 12}
OPTIONS = {"img_size": 32, "patch_size": 8, "num_classes": 7}
ARCHS = {
    "autoformer-tiny": {"hidden_dim": 24, "depth": 2, "mlp_ratio": [2.0] * 2, "num_heads": [3] * 2},
    "pit": {"base_dim": 4, "mlp_ratio": 2, "depth": [1, 1, 1], "num_heads": [2, 4, 4]},
    "vitas-deit": {
        "patch_size": 16,
        "embed_dim": 24,
        "depth": 1,
        "num_heads": [3],
        "qkv_dim": [36],
        "mlp_dim": [24],
    },
}


def _random(module):
    """Weights under which every parameter matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.mark.parametrize("distilled", [False, True])
def test_with_the_class_token_an_autoformer_is_timms_deit(distilled):
    name = f"deit_tiny{'_distilled' if distilled else ''}_patch16_224"
    theirs = _random(timm.create_model(name, pretrained=False))
    ours = tvtfast.build(
        DEIT_TINY, space="autoformer-tiny", num_classes=1000, distilled=distilled, pool="token"
    )
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)
    other = tvtfast.build(DEIT_TINY, space="autoformer-tiny", num_classes=1000, distilled=distilled)
    other.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        assert (other(images) - theirs(images)).abs().max() > 0.1 * theirs(images).abs().max()


@pytest.mark.parametrize("space", ARCHS)
@pytest.mark.parametrize("distilled", [False, True])
def test_each_pooling_is_its_formula(space, distilled):
    images = torch.randn(2, 3, 32, 32)
    space, arch = spaces.get(space), ARCHS[space]
    for pool in (None, "token", "avg"):
        options = OPTIONS | {"distilled": distilled, "pool": pool}
        model = _random(tvtfast.build(arch, space=space, **options))
        assert sum(p.numel() for p in model.parameters()) == space.params(arch, **options)
        assert space.flops(arch, **options) == space.flops(
            arch, **OPTIONS | {"distilled": distilled}
        )
        prefix = 1 + distilled
        with torch.no_grad():
            tokens = model.norm(model.forward_features(images))
            if (pool or space.pools[0]) == "token":
                read = tokens[:, 0], tokens[:, prefix - 1]
            else:  # AutoFormer has the distillation token inside the mean
                first = 1 if isinstance(space, spaces.AutoFormerSpace) else prefix
                read = (tokens[:, first:].mean(dim=1),) * 2
            logits = model.head(read[0])
            if distilled:
                logits = (logits + model.head_dist(read[1])) / 2
            torch.testing.assert_close(model(images), logits)


def test_defaults_are_what_was_published():
    defaults = {space.name: space.pool_of(spaces.ModelOptions()) for space in _all()}
    assert {name for name, pool in defaults.items() if pool == "token"} == {
        name for name in defaults if name.startswith(("pit", "vitas-deit"))
    }


@pytest.mark.parametrize("space", ["asvit", "vitas-twins"])
def test_models_without_a_class_token_refuse_it(space):
    space = spaces.get(space)
    with pytest.raises(ValueError, match="pool is 'token', .*; give 'avg', or"):
        tvtfast.build(space.sample(1)[0], space=space, pool="token")
    with pytest.raises(ValueError, match="pool is 'token', which its models do not have"):
        tvtfast.score(space.sample(1), space=space, proxies="params", pool="token")


def test_another_word():
    with pytest.raises(ValueError, match="pool is 'mean'; allowed: None, token, avg"):
        spaces.ModelOptions(pool="mean")


def _all():
    """Without those that other tests entered."""
    names = (name for name in spaces.available() if not name.startswith("test-"))
    return [spaces.get(name) for name in names]
