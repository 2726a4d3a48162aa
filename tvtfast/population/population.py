"""Candidates of one space as one computation over shared weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tvtfast.common.fallbacks import logger
from tvtfast.common.memory import is_out_of_memory
from tvtfast.models import SpatialFeatures, parameter_rule
from tvtfast.population.bank import WeightBank
from tvtfast.population.engine import forward
from tvtfast.population.memory import plan_memory
from tvtfast.population.tree import Node, prefix_tree
from tvtfast.population.workers import Workers
from tvtfast.spaces import ModelOptions, Paths, Space
from tvtfast.spaces import get as get_space


@dataclass(frozen=True)
class PopulationFeatures:
    """Last-block features of some candidates.

    Args:
        rows: Per entry of the features, the candidates that have them; more than one where
            architectures are equal.
        features: Tokens ``[K, B, P+N, C]`` with their grid.
    """

    rows: tuple[tuple[int, ...], ...]
    features: SpatialFeatures


class Population:
    """Untrained candidates of one space, over one bank of index-keyed weights.

    Candidates that begin with the same layers share their activations, and all nodes of one layer
    and shape go through one matrix product and one attention call. No module is built. Results are
    those of modules built one by one with `tvtfast.build`: equal up to the rounding of matrix
    products, whatever the order of candidates and the size of waves.

    Args:
        archs: Architectures of the space, in any of its encodings; or their paths, with the same
            options.
        space: The space, or its name; it must state its layers (`tvtfast.spaces.Space.has_steps`).
        seed: Seed of the weights.
        device: Where everything is computed; default CPU.
        dtype: Of weights and activations: fp32, fp16, bf16 or fp64.
        memory: Bytes that activations may take; default half of what is available.
        **options: Fields of `tvtfast.spaces.ModelOptions`.

    Raises:
        ValueError: No architectures, one outside the space, a space without stated layers, or a
            ``softmax_scale``, which is for models built one by one.
    """

    def __init__(
        self,
        archs: Iterable[Any] | Paths,
        *,
        space: str | Space[Any],
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
        memory: int | None = None,
        **options: Any,
    ) -> None:
        self.space = get_space(space)
        self.options = ModelOptions.of(**options)
        if self.options.softmax_scale is not None:
            raise ValueError(
                f"softmax_scale is {self.options.softmax_scale!r}, and populations scale by the "
                "width of a head; leave it out, or build the models with tvtfast.build"
            )
        self.paths = (
            archs if isinstance(archs, Paths) else self.space.paths(archs, **asdict(self.options))
        )
        if not len(self.paths):
            raise ValueError("a population needs at least one architecture")
        self.device, self.dtype = torch.device(device or "cpu"), dtype
        self.memory = memory
        rule = parameter_rule(self.space)
        if rule is None:
            raise ValueError(
                f"no model of space {self.space.name!r} states how its parameters are drawn; "
                "register one with a static method parameter_init(name, owner)"
            )
        self.bank = WeightBank(
            self.paths.steps,
            rule,
            seed=seed,
            device=self.device,
            dtype=dtype,
        )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def params(self) -> npt.NDArray[np.generic]:
        """Parameter counts, int64 ``[n]``."""
        return self.paths.params

    @property
    def flops(self) -> npt.NDArray[np.generic]:
        """FLOPs of one image, two per multiply-add, int64 ``[n]``."""
        return self.paths.flops

    @property
    def macs(self) -> npt.NDArray[np.generic]:
        """Multiply-adds of one image, int64 ``[n]``."""
        return self.paths.macs

    def weight_norms(self) -> npt.NDArray[np.generic]:
        """Sum of the L2 norms of all convolution and linear weights, fp64 ``[n]``: every distinct
        slice of every weight is measured once (`tvtfast.kernels.slice_norms`)."""
        return self.paths.total([sum(self.bank.norms(step)) for step in self.paths.steps])

    def features(
        self, images: Tensor, rows: Sequence[int] | None = None
    ) -> Iterator[PopulationFeatures]:
        """Last-block features, in the order they are ready.

        Args:
            images: ``[B, C, H, W]``, normalised, on any device.
            rows: Candidates to compute; default all.

        Yields:
            Features of candidates of one shape, each candidate once. They are freed when the next
            are asked for.

        Raises:
            ValueError: Images of another size than the population was made for, or no row.
            MemoryError: Not even one candidate fits into ``memory``.
            RuntimeError: An allocation failed even so.
        """
        self._check_images(images)
        images = images.to(self.device)
        remaining = dict.fromkeys(range(len(self)) if rows is None else rows)
        root = prefix_tree(self.paths, list(remaining))
        workers = Workers(self.device)
        plan = plan_memory(root, len(images), self.dtype, self.device, self.memory, workers.count)
        try:
            while remaining:
                try:
                    for nodes, x in forward(root, images, self.bank, plan, workers):
                        found = self._ended(nodes, x)
                        yield found
                        for row in itertools.chain.from_iterable(found.rows):
                            del remaining[row]
                        del x, found  # or they would be held until the next
                except (RuntimeError, MemoryError) as error:
                    if plan.smallest or not is_out_of_memory(error):
                        raise
                    logger.info(
                        "no memory was left (%s): the population goes on in smaller parts, of %d "
                        "tokens in a call instead of %d",
                        error,
                        plan.halved().tokens_per_call,
                        plan.tokens_per_call,
                    )
                    plan, root = plan.halved(), prefix_tree(self.paths, list(remaining))
        finally:
            workers.close()

    def _ended(self, nodes: Sequence[Node], x: Tensor) -> PopulationFeatures:
        kept = [row for row, node in enumerate(nodes) if node.candidates]
        step: Any = nodes[0].step
        return PopulationFeatures(
            tuple(tuple(nodes[row].candidates) for row in kept),
            SpatialFeatures(
                x if len(kept) == len(nodes) else x[kept], step.grid, step.prefix_tokens
            ),
        )

    def _check_images(self, images: Tensor) -> None:
        wanted = (self.options.in_chans, *self.options.img_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != wanted or not len(images):
            raise ValueError(
                f"the population was made for images [B, {wanted[0]}, {wanted[1]}, {wanted[2]}], "
                f"got {list(images.shape)}; make it with img_size=(height, width), or resize them"
            )
