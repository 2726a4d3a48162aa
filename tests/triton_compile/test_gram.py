"""Compiled kernels of Gram matrices."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from .compiling import Compiled, arguments_of, gram, vector_loads


def gram_operands(dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Samples and channels of ViT-Ti tokens, and channels of a ConvNet's feature map."""
    tokens = torch.empty(4, 197, 216, dtype=dtype)[:, 1:]
    teacher = torch.empty(4, 64, 196, dtype=dtype)
    return {
        "few samples": (torch.empty(1, 17, 42336, dtype=dtype), None),
        "samples": (torch.empty(1, 64, 42336, dtype=dtype), None),
        "many samples": (torch.empty(1, 128, 42336, dtype=dtype), None),
        "channels": (tokens.mT, None),
        "both": (tokens.mT, teacher),
        "anywhere": (torch.empty(1, 9, 401, dtype=dtype)[:, :, 1:], None),
    }


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("operands", gram_operands(torch.float32))
@pytest.mark.parametrize("relative", (False, True))
def test_gram(compiled: Compiled, dtype: torch.dtype, operands: str, relative: bool) -> None:
    x, y = gram_operands(dtype)[operands]
    if y is not None and relative:
        pytest.skip("relative rows are those of one operand")
    gram.forward(arguments_of("gram", x, y, relative))
    ptx = compiled.ptx("_span_kernel")
    on_tensor_cores = "mma" in ptx
    assert on_tensor_cores == (dtype != torch.float32 and not relative) and "tf32" not in ptx
    if operands != "anywhere":
        assert re.search(r"cp\.async\.cg\S* .*0x10\b", ptx) or vector_loads(ptx)
