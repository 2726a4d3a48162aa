"""What is around every call of a proxy, so that none spoils another or its caller."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from tvtfast.proxies import Proxy, ProxyInputs
from tvtfast.scoring.declared import DeclaredInputs
from tvtfast.scoring.inputs import CandidateInputs, Kept, seeded


class SpoiledInputsError(RuntimeError):
    """A proxy changed a tensor that other proxies read. Raised whatever ``on_error`` says, since
    all that comes after it would be wrong."""


@contextlib.contextmanager
def frame(proxy: Proxy, draws: Sequence[CandidateInputs]) -> Iterator[list[ProxyInputs]]:
    """The inputs of one candidate, one per weight draw, for a call of one proxy.

    Inside, gradients are recorded where the proxy declares to need them, and PyTorch's generators
    are seeded by weight draw, candidate and proxy. Afterwards the modules
    (`tvtfast.scoring.module_state`), generators, threads and default dtype are what they were.

    Raises:
        SpoiledInputsError: The proxy changed images, labels, features or gradients in place.
    """
    first = draws[0]
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    made = [inputs.made for inputs in draws]
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled("gradients" in proxy.needs))
        if proxy.needs:
            name = f"{first.candidate.label}:{proxy.name}"
            stack.enter_context(seeded(first.draw, name, first.device))
        view = [one for inputs in draws for one in inputs.view.shared()]
        stack.enter_context(unchanged(proxy, view, [inputs.kept for inputs in draws]))
        try:
            yield [cast(ProxyInputs, DeclaredInputs(inputs, proxy)) for inputs in draws]
        finally:
            for inputs, before in zip(draws, made, strict=True):
                inputs.put_back(before)
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


@contextlib.contextmanager
def unchanged(
    proxy: Proxy, shared: Iterable[tuple[str, Tensor]], kept: Sequence[Sequence[Kept]] = ()
) -> Iterator[None]:
    """Tensors that a proxy reads and may not change.

    Args:
        proxy: The proxy.
        shared: Tensors, by the name of the input.
        kept: Those that may be made meanwhile.

    Raises:
        SpoiledInputsError: It changed one.
    """
    watched = [Kept.of(name, tensor) for name, tensor in shared]
    try:
        yield
    finally:
        changed = [one.name for one in itertools.chain(watched, *kept) if one.changed]
        if changed:
            raise SpoiledInputsError(
                f"proxy {proxy.name!r} changed inputs.{changed[0]} in place, which other proxies "
                "read; work on a clone"
            )
