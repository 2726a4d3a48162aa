"""Attention and its tangent in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import attention_jvp
from tvtfast.kernels.attention_jvp import reference as reference_jvp
from tvtfast.kernels.attention_jvp.definition import tolerance as attention_jvp_tolerance
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import DTYPES, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 8, 16, 65, 128))
@pytest.mark.parametrize("tokens", (1, 49, 64, 65, 196, 784))
def test_attention_jvp(dtype: torch.dtype, channels: int, tokens: int) -> None:
    both = random(2, 3, tokens, 3, 5, channels, dtype=dtype)
    dual = list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))
    q, k, v, dq, dk, dv = wide = [x.double() for x in dual]
    scale = channels**-0.5
    exact = reference_jvp.run(OPERATORS["attention_jvp"].call(*wide, scale))
    extent = scale * float((q.abs() @ k.abs().mT).max())
    change = scale * float((dq.abs() @ k.abs().mT + q.abs() @ dk.abs().mT).max())
    bound = attention_jvp_tolerance(dtype, max(tokens, channels), extent)
    units = v.abs().max(), dv.abs().max() + 2 * change * v.abs().max()
    for value, expected, unit in zip(
        attention_jvp(*dual, backend="triton"), exact, units, strict=True
    ):
        assert (value - expected).abs().max() <= bound * unit
