"""The Vision Transformer that nobody searched."""

from __future__ import annotations

import pytest

import tvtfast
from tvtfast.pipeline import deit_like

OPTIONS = {"num_classes": 10, "img_size": 32, "patch_size": 8}


@pytest.mark.parametrize("params", (1e6, 5.7e6, 22e6, 86e6))
def test_its_size_is_close_and_its_heads_have_some_64_channels(params):
    space, arch = deit_like(params, **OPTIONS)
    assert arch.depth == 12 and set(arch.mlp_ratio) == {4.0} and len(set(arch.num_heads)) == 1
    heads = arch.num_heads[0]
    assert arch.hidden_dim % heads == 0 and 48 <= arch.hidden_dim / heads <= 96
    # widths come in steps of the number of heads, and the count grows with the width squared
    step = heads / arch.hidden_dim
    assert space.params(arch, **OPTIONS) == pytest.approx(params, rel=1.1 * step)


def test_no_width_comes_closer():
    space, arch = deit_like(600_000, **OPTIONS)
    difference = abs(space.params(arch, **OPTIONS) - 600_000)
    for width in range(8, 96):
        other = tvtfast.spaces.AutoFormerSpace("other", (width,), (12,), (4.0,), (1,))
        shape = tvtfast.spaces.AutoFormerArch(width, 12, (4.0,) * 12, (1,) * 12)
        assert abs(other.params(shape, **OPTIONS) - 600_000) >= difference


def test_at_the_size_of_deit_ti_it_is_deit_ti():
    """5,526,346 parameters: timm's ``deit_tiny_patch16_224`` with 10 classes."""
    import timm

    given = timm.create_model("deit_tiny_patch16_224", num_classes=10)
    params = sum(parameter.numel() for parameter in given.parameters())
    options = {"num_classes": 10, "img_size": 224, "patch_size": 16}
    space, arch = deit_like(params, **options)
    assert (arch.hidden_dim, arch.num_heads[0]) == (192, 3)
    assert space.params(arch, **options) == params
