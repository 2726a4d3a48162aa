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
from tvtfast.models import (
    InheritedWeights,
    SpatialFeatures,
    WeightSource,
    as_inherited,
    parameter_rule,
)
from tvtfast.population.bank import WeightBank
from tvtfast.population.engine import forward
from tvtfast.population.memory import plan_memory
from tvtfast.population.tree import NONE, PrefixTree, block_ends, prefix_tree
from tvtfast.population.workers import Workers
from tvtfast.spaces import ModelOptions, Paths, Space
from tvtfast.spaces import get as get_space
from tvtfast.spaces.steps import TokenStep


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


@dataclass(frozen=True)
class BlockFeatures:
    """Outputs of one block of some candidates.

    Args:
        blocks: Per entry of the features, which block it is, from 0; ``None`` where candidates end
            with no block.
        rows: Per entry, the candidates that have it.
        ended: Per entry, those of them whose last block it is.
        features: Tokens ``[K, B, P+N, C]`` with their grid.
    """

    blocks: tuple[int | None, ...]
    rows: tuple[tuple[int, ...], ...]
    ended: tuple[tuple[int, ...], ...]
    features: SpatialFeatures


class Population:
    """Candidates of one space, over one bank of index-keyed weights, or of trained ones.

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
        weights: Trained weights that candidates inherit, in place of drawn ones: the state dict,
            module or checkpoint of a supernet, see `tvtfast.models.InheritedWeights`. Not for
            spaces of Twins.
        **options: Fields of `tvtfast.spaces.ModelOptions`; default what ``weights`` fix.

    Raises:
        ValueError: No architectures, one outside the space, a space without stated layers, a
            ``softmax_scale``, which is for models built one by one, or a candidate that ``weights``
            have no slice for.
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
        weights: InheritedWeights | WeightSource | None = None,
        **options: Any,
    ) -> None:
        self.space = get_space(space)
        inherited = None if weights is None else as_inherited(weights)
        if inherited is not None:
            inherited.check_space(self.space)
            options = inherited.with_options(options)
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
            weights=inherited,
            norm_eps=self.options.norm_eps,
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

    def blocks(self, row: int) -> list[TokenStep]:
        """The steps that the blocks of a candidate end with, first to last."""
        steps = [self.paths.steps[n] for n in self.paths.index[row].tolist() if n >= 0]
        return block_ends(steps)

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
        for tree, nodes, x in self._computed(images, rows, blocks=False):
            found = PopulationFeatures(
                tuple(map(tree.candidates.__getitem__, nodes)), _features(tree, nodes, x)
            )
            del x
            yield found
            del found  # or it would be held until the next

    def block_features(
        self, images: Tensor, rows: Sequence[int] | None = None
    ) -> Iterator[BlockFeatures]:
        """Outputs of every block, in the order they are ready: those of a candidate first to last.
        What candidates have in common is computed and given once.

        Args:
            images: ``[B, C, H, W]``, normalised, on any device.
            rows: Candidates to compute; default all.

        Yields:
            Features of nodes of one shape. They are freed when the next are asked for. Where an
            allocation fails, blocks of candidates that had not ended come again.

        Raises:
            ValueError: As `features` does.
            MemoryError, RuntimeError: As `features` does.
        """
        for tree, nodes, x in self._computed(images, rows, blocks=True):
            found = BlockFeatures(
                tuple(None if block == NONE else block for block in tree.block[nodes].tolist()),
                tuple(map(tree.passing.__getitem__, nodes)),
                tuple(map(tree.candidates.__getitem__, nodes)),
                _features(tree, nodes, x),
            )
            del x
            yield found
            del found

    def _computed(
        self, images: Tensor, rows: Sequence[int] | None, *, blocks: bool
    ) -> Iterator[tuple[PrefixTree, list[int], Tensor]]:
        """The tree, nodes of it that are read, of one shape, and their activations."""
        self._check_images(images)
        images = images.to(self.device)
        remaining = dict.fromkeys(range(len(self)) if rows is None else rows)
        tree = prefix_tree(self.paths, list(remaining), blocks=blocks)
        workers = Workers(self.device)
        plan, waves = plan_memory(
            tree, len(images), self.dtype, self.device, self.memory, workers.count
        )
        try:
            while remaining:
                try:
                    for ended, x in forward(waves, images, self.bank, plan, workers):
                        nodes = ended.tolist()
                        yield tree, nodes, x
                        for row in itertools.chain.from_iterable(
                            map(tree.candidates.__getitem__, nodes)
                        ):
                            del remaining[row]
                        del x  # or it would be held until the next
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
                    plan = plan.halved()
                    tree = prefix_tree(self.paths, list(remaining), blocks=blocks)
                    waves = plan.schedule(tree, len(images))
        finally:
            workers.close()

    def _check_images(self, images: Tensor) -> None:
        wanted = (self.options.in_chans, *self.options.img_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != wanted or not len(images):
            raise ValueError(
                f"the population was made for images [B, {wanted[0]}, {wanted[1]}, {wanted[2]}], "
                f"got {list(images.shape)}; make it with img_size=(height, width), or resize them"
            )


def _features(tree: PrefixTree, nodes: Sequence[int], x: Tensor) -> SpatialFeatures:
    step: Any = tree.steps[tree.step[nodes[0]]]
    return SpatialFeatures(x, step.grid, step.prefix_tokens)
