"""Tensors on cuda:1, in a process that never touches cuda:0."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.gpu
CODE = """
import torch
from tvtfast import kernels
from tvtfast.kernels.backend import cuda, triton
on = torch.device("cuda", 1)
x = torch.randn(2, 24, 5, 8, device=on, requires_grad=True)
teacher, half = torch.rand(40, device=on), torch.randn(2, 9, 48, device=on).half()
heads = torch.randn(6, 2, 3, 9, 16, device=on)
w_qkv, w_proj = (torch.randn(n, 48, device=on).half() for n in (144, 48))
for backend, absent in (("cuda", cuda.missing()), ("triton", triton.missing())):
    if absent:
        continue
    distance = kernels.attention_map_distance(x, teacher, size=(4, 10), backend=backend)
    torch.autograd.grad(distance.sum(), x)
    kernels.attention_map_distances([x.detach()], teacher, backend=backend)
    kernels.segment_norms([x.detach()], backend=backend)
    drawn = kernels.indexed_normal_(torch.empty(7, device=on), seed=1, name="w", backend=backend)
    expected = kernels.indexed_normal_(torch.empty(7), seed=1, name="w", backend="reference")
    assert torch.equal(drawn.cpu(), expected), backend
if not triton.missing():
    backend = "triton"
    kernels.gram(heads[0, 0], backend=backend)
    kernels.slice_norms(teacher.view(5, 8), [(2, 3)], backend=backend)
    kernels.self_attention_stats(heads[0], heads[1], backend=backend)
    kernels.attention_jvp(*heads, backend=backend)
    kernels.mlp_block(half, w_qkv, None, w_qkv.t().contiguous(), None, backend=backend)
    kernels.attention_block(half, w_qkv, None, w_proj, None, num_heads=3, backend=backend)
torch.cuda.synchronize(on)
assert torch.cuda.current_device() == 0
assert not torch._C._cuda_hasPrimaryContext(0), "a context was made on cuda:0"
"""


def test_nothing_happens_on_the_first() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two CUDA devices, there are {torch.cuda.device_count()}")
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
