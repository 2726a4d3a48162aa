"""How many images a candidate classifies per second, measured here.

Source: the throughput-constrained search in the released code of ViTAS (batches of 256).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from tvtfast.common.machine import machine
from tvtfast.proxies.base import Proxy, ProxyInputs, register

_RUNS = 7
_WARM_UP = 2

_measured: WeakKeyDictionary[nn.Module, tuple[float, float]] = WeakKeyDictionary()


def throughput(inputs: ProxyInputs) -> float:
    """Images per second: those of the batch over the median time of seven forward passes, after two
    that do not count. In fp32, evaluation mode, on the device and with the threads of the moment.
    """
    return _rates(inputs)[0]


def throughput_spread(inputs: ProxyInputs) -> float:
    """Largest less smallest time of the passes that `throughput` is the median of, over that
    median."""
    return _rates(inputs)[1]


def _rates(inputs: ProxyInputs) -> tuple[float, float]:
    """Both from one measurement."""
    module = inputs.module
    if module not in _measured:
        images = inputs.images
        seconds = [_seconds(module, images) for _ in range(_WARM_UP + _RUNS)][_WARM_UP:]
        middle = median(seconds)
        spread = (max(seconds) - min(seconds)) / middle
        _measured[module] = (len(images) / middle, spread)
    return _measured[module]


@torch.no_grad()
def _seconds(module: nn.Module, images: torch.Tensor) -> float:
    cuda = images.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(images.device)
    begin = time.perf_counter()
    module(images)
    if cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter() - begin


@cache
def _hardware(threads: int) -> Mapping[str, Any]:
    described = machine()
    return {"threads": threads} | {
        name: described[name] for name in ("processor", "cores", "gpu") if name in described
    }


def _depends_on() -> Mapping[str, Any]:
    return _hardware(torch.get_num_threads())


THROUGHPUT = Proxy(
    "throughput",
    throughput,
    needs=frozenset({"weights", "images"}),
    depends_on=_depends_on,
    description="images per second of a forward pass, measured on this machine",
)
THROUGHPUT_SPREAD = Proxy(
    "throughput_spread",
    throughput_spread,
    higher_is_better=False,
    needs=frozenset({"weights", "images"}),
    depends_on=_depends_on,
    description="range of the times that throughput is the median of, over that median",
)

register(THROUGHPUT)
register(THROUGHPUT_SPREAD)
