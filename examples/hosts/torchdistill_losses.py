"""Attention transfer in torchdistill's registry: its own loss beside the fused one."""

import time

import torch
from torchdistill.losses.registry import get_mid_level_loss

from tvtfast.adapters import torchdistill

torchdistill.register()
generator = torch.Generator().manual_seed(0)
maps = [torch.randn(16, width, 14, 14, generator=generator) for width in (192, 512)]
pair = {"student": {"io": "output", "path": "s"}, "teacher": {"io": "output", "path": "t"}}


def value_gradient_and_time(key: str) -> tuple[float, torch.Tensor, float]:
    loss = get_mid_level_loss({"key": key, "kwargs": {"at_pairs": {"last": pair}, "mode": "code"}})
    student = maps[0].clone().requires_grad_()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        value = loss({"s": {"output": student}}, {"t": {"output": maps[1]}}, None)
        (gradient,) = torch.autograd.grad(value, student)
        seconds.append(time.perf_counter() - started)
    return value.item(), gradient, min(seconds)


value, gradient, host_seconds = value_gradient_and_time("ATLoss")
fused, fused_gradient, seconds = value_gradient_and_time("FusedATLoss")
torch.testing.assert_close(fused_gradient, gradient, rtol=1e-4, atol=1e-9)
print(f"torchdistill {value:.9f} in {host_seconds * 1e3:.2f} ms, with its gradient")
print(f"tvtfast      {fused:.9f} in {seconds * 1e3:.2f} ms, with its gradient")
