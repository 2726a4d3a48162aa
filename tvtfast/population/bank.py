"""The weights that all candidates of a population share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property

import torch
from torch import Tensor, nn

from tvtfast import kernels
from tvtfast.initialization import Constant, Normal, ParameterInit, draw_, framework_init
from tvtfast.models import InheritedWeights
from tvtfast.models.blocks import LAYER_NORM_EPS
from tvtfast.spaces.steps import (
    MLP,
    Classifier,
    Embedding,
    Matrix,
    Pooling,
    SelfAttention,
    Step,
)

Rule = Callable[[str, nn.Module], ParameterInit | None]

_TABLE = ParameterInit(Normal(0.02))
_INHERITING = (Embedding, SelfAttention, MLP, Pooling, Classifier)
"""Steps whose norms lie before a linear layer, or after the last block."""
_NORMS = {"attn.qkv": "norm1", "mlp.fc1": "norm2"}
"""By linear layer of a block the norm before it."""


class WeightBank:
    """Index-keyed weights of the steps of one population, each drawn once.

    A weight whose distribution does not depend on its shape is drawn at the largest shape that the
    population uses, and narrower candidates read a slice of it; the others (framework defaults,
    scaled by their fan-in) are drawn per shape. Either way the values are those that
    `tvtfast.initialize_` gives the module of a single candidate.

    Weights that were trained can take their place: candidates then read slices of these, and a norm
    before a linear layer becomes part of it,

        W (g * n + b) + c = (W diag(g)) n + (W b + c),

    where ``n`` is the input of the norm, centred and scaled.

    Args:
        steps: The steps whose weights will be asked for.
        rule: How a model draws its parameters, see `tvtfast.initialization.DeclaresInit`.
        seed: Seed of the weights.
        device: Where they live.
        dtype: What they are handed out in; they are drawn in fp32.
        weights: Trained weights in place of drawn ones.
        norm_eps: What norms before layers add to the variance; default 1e-6.

    Attributes:
        norm_eps: That.

    Raises:
        ValueError: ``weights`` have no slice for a step, or a step has a norm elsewhere.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        rule: Rule,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        weights: InheritedWeights | None = None,
        norm_eps: float | None = None,
    ) -> None:
        self._rule, self._seed, self._device, self._dtype = rule, seed, device, dtype
        self._trained, self._draw = weights, weights or draw_
        self.norm_eps = LAYER_NORM_EPS if norm_eps is None else norm_eps
        self._lock = threading.Lock()
        self._uses: dict[tuple[str, ParameterInit], list[Matrix]] = {}
        for step in steps:
            if weights is not None:
                check_inherits(weights, step)
            for matrix in step.matrices:
                uses = self._uses.setdefault((matrix.name, self._weight_init(matrix)), [])
                if matrix not in uses:
                    uses.append(matrix)
        self._drawn: dict[tuple[str, ParameterInit], Tensor] = {}
        self._weights: dict[Matrix, Tensor] = {}
        self._biases: dict[Matrix, Tensor | None] = {}
        self._tables: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._nested: dict[tuple[Matrix, ...], bool] = {}

    def weight(self, matrix: Matrix) -> Tensor:
        """Weight of a layer, in the shape its module has."""
        with self._lock:
            if matrix not in self._weights:
                weight = self._slice(matrix).reshape(matrix.shape)
                if (norm := self._norm_before(matrix)) is not None:
                    weight = weight.double() * norm[0]
                self._weights[matrix] = weight.to(self._dtype)
            return self._weights[matrix]

    def bias(self, matrix: Matrix) -> Tensor | None:
        """Bias of a layer; ``None`` where it is zero."""
        with self._lock:
            if matrix not in self._biases:
                self._biases[matrix] = self._draw_bias(matrix)
            return self._biases[matrix]

    def nests(self, matrices: Sequence[Matrix]) -> bool:
        """Whether the narrower of these matrices of one layer are parts of the widest, and have its
        bias: not where a distribution depends on the shape."""
        key = tuple(matrices)
        if key not in self._nested:
            kinds = {(self._weight_init(matrix), self._init(matrix, "bias")) for matrix in key}
            trained = self._trained
            self._nested[key] = len(kinds) == 1 and (
                trained is None or all(trained.nests(f"{matrix.name}.bias") for matrix in key)
            )
        return self._nested[key]

    def table(self, name: str, shape: Sequence[int]) -> Tensor:
        """A parameter that belongs to no layer: class token, positions."""
        key = name, tuple(shape)
        with self._lock:
            if key not in self._tables:
                table = torch.empty(key[1], device=self._device)
                self._draw(table, name, self._seed, _TABLE)
                self._tables[key] = table.to(self._dtype)
            return self._tables[key]

    def norms(self, step: Step) -> tuple[float, ...]:
        """L2 norms of the matrices of a step, from one table of all slices of each weight."""
        return tuple(self._norms[matrix] for matrix in step.matrices)

    def _draw_bias(self, matrix: Matrix) -> Tensor | None:
        init = self._init(matrix, "bias")
        if init.distribution == Constant(0.0) and self._trained is None:
            return None
        bias = torch.empty(matrix.groups * matrix.rows, device=self._device)
        self._draw(bias, f"{matrix.name}.bias", self._seed, init)
        if (norm := self._norm_before(matrix)) is not None:
            bias = bias + self._slice(matrix).reshape(matrix.shape).double() @ norm[1]
        return bias.to(self._dtype)

    def _norm_before(self, matrix: Matrix) -> tuple[Tensor, Tensor] | None:
        """Scale and shift of the trained norm before a layer, fp64 ``[columns]``."""
        layer = ".".join(matrix.name.split(".")[-2:])
        if self._trained is None or layer not in _NORMS:
            return None
        norm = matrix.name.removesuffix(layer) + _NORMS[layer]
        scale, shift = (
            self._trained.take(f"{norm}.{kind}", (matrix.columns,)).to(self._device).double()
            for kind in ("weight", "bias")
        )
        return scale, shift

    @cached_property
    def _norms(self) -> dict[Matrix, float]:
        return {
            matrix: norm
            for key, uses in self._uses.items()
            for matrix, norm in zip(uses, self._slice_norms(key), strict=True)
        }

    def _slice_norms(self, key: tuple[str, ParameterInit]) -> list[float]:
        uses = self._uses[key]
        drawn = self._largest(key)
        area = drawn[0, 0, 0].numel()
        sizes = torch.tensor([(matrix.rows, matrix.columns * area) for matrix in uses])
        norms = [kernels.slice_norms(group.flatten(1), sizes) for group in drawn]
        return torch.stack(norms).double().square().sum(dim=0).sqrt().tolist()

    def _slice(self, matrix: Matrix) -> Tensor:
        drawn = self._largest((matrix.name, self._weight_init(matrix)))
        return drawn[:, : matrix.rows, : matrix.columns]

    def _largest(self, key: tuple[str, ParameterInit]) -> Tensor:
        """A weight at the largest shape in use, ``[groups, rows, columns, *kernel]``."""
        if key not in self._drawn:
            name, init = key
            uses = self._uses[key]
            first = uses[0]
            rows, columns = max(m.rows for m in uses), max(m.columns for m in uses)
            weight = torch.empty(
                first.groups * rows, columns, *first.shape[2:], device=self._device
            )
            self._draw(weight, f"{name}.weight", self._seed, init)
            self._drawn[key] = weight.unflatten(0, (first.groups, rows))
        return self._drawn[key]

    def _weight_init(self, matrix: Matrix) -> ParameterInit:
        return self._init(matrix, "weight")

    def _init(self, matrix: Matrix, kind: str) -> ParameterInit:
        owner = _owner(matrix.groups * matrix.rows, matrix.columns, matrix.kernel)
        declared = self._rule(f"{matrix.name}.{kind}", owner)
        return declared or framework_init(owner, kind, getattr(owner, kind))


def can_inherit(steps: Iterable[Step]) -> bool:
    """Whether a population computes these steps with trained weights, norms included."""
    return all(isinstance(step, _INHERITING) for step in steps)


def check_inherits(weights: InheritedWeights, step: Step) -> None:
    """Refuse a step that cannot take its weights from these.

    Raises:
        ValueError: They have no slice for it, or it has norms that no layer takes in.
    """
    if not can_inherit([step]):
        raise ValueError(
            f"populations cannot inherit weights of steps of type {type(step).__name__}, whose "
            "norms do not lie before a linear layer; build the candidates with "
            "tvtfast.models.inherit and score the modules"
        )
    for matrix in step.matrices:
        weights.check(f"{matrix.name}.weight", matrix.shape, matrix.groups)
    if isinstance(step, Embedding):
        of_patches = step.positions == step.grid[0] * step.grid[1]
        shape = (step.dim, *step.grid) if of_patches else (step.positions, step.dim)
        weights.check("pos_embed", (1, *shape))


@cache
def _owner(outputs: int, inputs: int, kernel: int) -> nn.Module:
    """A layer like the one that holds a matrix, without memory."""
    with torch.device("meta"):
        return nn.Conv2d(inputs, outputs, kernel) if kernel else nn.Linear(inputs, outputs)
