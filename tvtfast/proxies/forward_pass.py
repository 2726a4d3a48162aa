"""A forward pass in evaluation mode, and how long it takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tvtfast.common.machine import machine
from tvtfast.models import CandidateModel, temporary_mode
from tvtfast.proxies.base import ProxyInputs

_RUNS = 7
_WARM_UP = 2


class Times(NamedTuple):
    """Of seven forward passes, after two that do not count.

    Args:
        median: In seconds.
        spread: Largest less smallest, over the median.
    """

    median: float
    spread: float


def times(module: nn.Module, images: Tensor) -> Times:
    """Measure forward passes without gradients, with the threads of the moment."""
    with temporary_mode(module, training=False):
        measured = [seconds(module, images) for _ in range(_WARM_UP + _RUNS)][_WARM_UP:]
    middle = median(measured)
    return Times(middle, (max(measured) - min(measured)) / middle)


@torch.no_grad()
def seconds(module: nn.Module, images: Tensor) -> float:
    """Wall time of one forward pass."""
    cuda = images.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(images.device)
    begin = time.perf_counter()
    module(images)
    if cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - begin


def images_for(inputs: ProxyInputs, batch: int) -> Tensor:
    """Noise ``[batch, C, H, W]`` of the candidate's size, on its device and in its dtype."""
    module = inputs.module
    channels = module.options.in_chans if isinstance(module, CandidateModel) else 3
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, channels, *inputs.img_size, generator=generator)
    weight = next((p for p in module.parameters() if p.is_floating_point()), noise)
    return noise.to(weight.device, weight.dtype)


def hardware() -> Mapping[str, Any]:
    """What a time depends on beside the network: processor, cores, threads, GPUs."""
    return _hardware(torch.get_num_threads())


@cache
def _hardware(threads: int) -> Mapping[str, Any]:
    described = machine()
    return {"threads": threads} | {
        name: described[name] for name in ("processor", "cores", "gpu") if name in described
    }


def batch_of(name: str, argument: str) -> int:
    """The number of images that a proxy is named with.

    Raises:
        ValueError: Not a whole number from 1.
    """
    if not argument.isascii() or not argument.isdigit() or int(argument) < 1:
        raise ValueError(
            f"proxy {name!r} is of a batch of {argument!r} images; give a whole number from 1, "
            f"such as {name}:1"
        )
    return int(argument)
