"""How many images a candidate classifies per second, measured here.

Source: the throughput-constrained search in the released code of ViTAS (batches of 256).
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.forward_pass import Times, hardware, times

_measured: WeakKeyDictionary[nn.Module, Times] = WeakKeyDictionary()


def throughput(inputs: ProxyInputs) -> float:
    """Images per second: those of the batch over the median time of seven forward passes, after two
    that do not count. In fp32, evaluation mode, on the device and with the threads of the moment.
    """
    return len(inputs.images) / _times(inputs).median


def throughput_spread(inputs: ProxyInputs) -> float:
    """Largest less smallest time of the passes that `throughput` is the median of, over that
    median."""
    return _times(inputs).spread


def _times(inputs: ProxyInputs) -> Times:
    """Both from one measurement."""
    module = inputs.module
    if module not in _measured:
        _measured[module] = times(module, inputs.images)
    return _measured[module]


THROUGHPUT = Proxy(
    "throughput",
    throughput,
    needs=frozenset({"weights", "images"}),
    depends_on=hardware,
    description="images per second of a forward pass, measured on this machine",
)
THROUGHPUT_SPREAD = Proxy(
    "throughput_spread",
    throughput_spread,
    higher_is_better=False,
    needs=frozenset({"weights", "images"}),
    depends_on=hardware,
    description="range of the times that throughput is the median of, over that median",
)

register(THROUGHPUT)
register(THROUGHPUT_SPREAD)
