"""How long a candidate takes for a batch of images, measured here."""

from __future__ import annotations

from functools import partial
from weakref import WeakKeyDictionary

from torch import nn

from tvtfast.common import checks
from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.factory import ProxyFactory
from tvtfast.proxies.forward_pass import Times, batch_of, hardware, images_for, times

_measured: WeakKeyDictionary[nn.Module, dict[int, Times]] = WeakKeyDictionary()


def latency(batch: int) -> Proxy:
    """Milliseconds of a forward pass of ``batch`` images: the median of seven, after two that do
    not count, in fp32 and evaluation mode, on the device and with the threads of the moment. The
    column is ``latency:BATCH``.

    Raises:
        ValueError: No images.
    """
    batch = checks.whole("batch", batch, least=1)
    return Proxy(
        f"latency:{batch}",
        partial(_milliseconds, batch),
        higher_is_better=False,
        needs=frozenset({"weights"}),
        depends_on=hardware,
        description=f"milliseconds of a forward pass of {batch} images, measured on this machine",
    )


def latency_spread(batch: int) -> Proxy:
    """Largest less smallest time of the passes that `latency` is the median of, over that median.

    Raises:
        ValueError: No images.
    """
    batch = checks.whole("batch", batch, least=1)
    return Proxy(
        f"latency_spread:{batch}",
        partial(_spread, batch),
        higher_is_better=False,
        needs=frozenset({"weights"}),
        depends_on=hardware,
        description="range of the times that latency is the median of, over that median",
    )


def _milliseconds(batch: int, inputs: ProxyInputs) -> float:
    return 1e3 * _times(batch, inputs).median


def _spread(batch: int, inputs: ProxyInputs) -> float:
    return _times(batch, inputs).spread


def _times(batch: int, inputs: ProxyInputs) -> Times:
    """Both from one measurement."""
    module = inputs.module
    known = _measured.setdefault(module, {})
    if batch not in known:
        known[batch] = times(module, images_for(inputs, batch))
    return known[batch]


def _named(argument: str) -> Proxy:
    return latency(batch_of("latency", argument))


def _spread_named(argument: str) -> Proxy:
    return latency_spread(batch_of("latency_spread", argument))


for _name, _make, _description in (
    ("latency", _named, "milliseconds of a forward pass of BATCH images, measured here"),
    ("latency_spread", _spread_named, "range of the times of latency:BATCH, over their median"),
):
    register(
        ProxyFactory(
            _name,
            _make,
            argument="the number of images of a batch",
            placeholder="BATCH",
            description=_description,
            in_name=True,
        )
    )
