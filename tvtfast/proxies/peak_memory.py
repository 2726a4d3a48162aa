"""How much memory a forward pass of a batch of images takes."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tvtfast.common import checks
from tvtfast.common.memory import peak_of
from tvtfast.models import temporary_mode
from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.factory import ProxyFactory
from tvtfast.proxies.forward_pass import batch_of, images_for


def peak_memory(batch: int) -> Proxy:
    """Bytes of a forward pass of ``batch`` images, without gradients and in evaluation mode: the
    most that weights, buffers, images and activations take at one moment. The column is
    ``peak_memory:BATCH``.

    On the CPU storages of tensors are counted from operator to operator: the number is the same on
    every machine, and what an operator uses inside is not in it. On CUDA it is what PyTorch's
    allocator hands out (``torch.cuda.max_memory_allocated``), work space of operators included.

    Raises:
        ValueError: No images.
    """
    batch = checks.whole("batch", batch, least=1)
    return Proxy(
        f"peak_memory:{batch}",
        partial(_bytes, batch),
        higher_is_better=False,
        needs=frozenset({"weights"}),
        depends_on=_depends_on,
        description=f"bytes of a forward pass of {batch} images: weights, images, activations",
    )


def _bytes(batch: int, inputs: ProxyInputs) -> float:
    return float(bytes_of_pass(inputs.module, images_for(inputs, batch)))


@torch.no_grad()
def bytes_of_pass(module: nn.Module, images: Tensor) -> int:
    """The most bytes that are held at one moment of a forward pass, see `peak_memory`.

    Args:
        module: Its parameters and buffers count, each storage once.
        images: What it is given, ``[B, C, H, W]``.
    """
    held = [*module.parameters(), *module.buffers(), images]
    with temporary_mode(module, training=False):
        if images.device.type == "cuda":
            sizes = {one.untyped_storage().data_ptr(): _size(one) for one in held}
            return sum(sizes.values()) + peak_of(lambda: module(images), images.device)
        with _LiveBytes(held) as counter:
            module(images)
    return counter.peak


class _LiveBytes(TorchDispatchMode):
    """Sums up storages from the operator that makes them until they are freed.

    Args:
        held: Tensors that are there from the start.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in held:
            self._meet(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._meet(leaf)
        return made

    def _meet(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return

        def freed(_: object) -> None:
            del self._storages[key]
            self.live -= size

        self._storages[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)


def _size(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _depends_on() -> Mapping[str, Any]:
    return {"torch": torch.__version__}


def _named(argument: str) -> Proxy:
    return peak_memory(batch_of("peak_memory", argument))


register(
    ProxyFactory(
        "peak_memory",
        _named,
        argument="the number of images of a batch",
        placeholder="BATCH",
        description="bytes of a forward pass of BATCH images: weights, images, activations",
        in_name=True,
    )
)
