"""The layers a candidate is made of, as pure data.

An architecture is a sequence of steps, and whatever is a sum over layers (parameters, FLOPs, weight
norms) is a sum over its steps. Two architectures that begin with the same steps compute the same
activations up to there. Every step is made once: equal shapes are one object, so steps are compared
and hashed by identity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, TypeVar, cast

S = TypeVar("S", bound="Step")


@dataclass(frozen=True)
class Matrix:
    """A linear weight, or a convolution's.

    Args:
        name: Name of the layer, without ``.weight``.
        rows: Output channels; of each group, where there are several.
        columns: Input channels of one output channel.
        groups: Matrices stacked in one parameter: 3 for a fused qkv projection.
        kernel: Side of the kernel of a convolution; 0 for a linear layer.
    """

    name: str
    rows: int
    columns: int
    groups: int = 1
    kernel: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        kernel = (self.kernel, self.kernel) if self.kernel else ()
        return (self.groups * self.rows, self.columns, *kernel)

    @property
    def params(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


class Step(ABC):
    """One layer, with its shapes.

    Steps are made with :meth:`of`, which returns the same object for equal arguments.

    Attributes:
        name: What the names of its parameters begin with.
        dim: Width of its input.
    """

    name: str
    dim: int

    @classmethod
    def of(cls: type[S], *arguments: Any) -> S:
        """The step with these fields, in their order."""
        step: S = _interned(cast(Hashable, cls), *arguments)
        return step

    @property
    @abstractmethod
    def matrices(self) -> tuple[Matrix, ...]:
        """Its convolution and linear weights."""

    @property
    @abstractmethod
    def biases(self) -> int:
        """Parameters beside the matrices."""

    @property
    @abstractmethod
    def macs(self) -> int:
        """Multiply-adds of one image: convolutions, linear layers, attention products."""

    @property
    def width(self) -> int:
        """Width of its output."""
        return self.dim

    @cached_property
    def params(self) -> int:
        """Number of parameters."""
        return self.biases + sum(matrix.params for matrix in self.matrices)


class TokenStep(Step):
    """A layer that puts out the tokens of a grid.

    Attributes:
        grid: Height and width of the token grid, after the layer.
        prefix_tokens: Class and distillation tokens.
        ends_block: Whether a block ends with it, unless its successor `continues_block`.
        continues_block: Whether it belongs to the block before.
    """

    grid: tuple[int, int]
    prefix_tokens: int
    ends_block: ClassVar[bool] = False
    continues_block: ClassVar[bool] = False

    @property
    def tokens(self) -> int:
        """Tokens of an image."""
        return math.prod(self.grid) + self.prefix_tokens


class FusedAttention(TokenStep):
    """Attention with one projection to queries, keys and values.

    Attributes:
        heads: Number of heads.
        head_dim: Channels of a head.
    """

    heads: int
    head_dim: int

    @property
    def inner(self) -> int:
        """Width of q, of k and of v."""
        return self.heads * self.head_dim

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return (
            Matrix(f"{self.name}attn.qkv", self.inner, self.dim, 3),
            Matrix(f"{self.name}attn.proj", self.dim, self.inner),
        )


@cache
def _interned(cls: Any, *arguments: Any) -> Any:
    return cls(*arguments)


@dataclass(frozen=True, eq=False)
class Embedding(TokenStep):
    """Convolution of patches, prefix tokens, learned positions.

    Args:
        name: Name of the convolution's layer, with its dot.
        dim: Embedding width.
        patch_size: Side of the convolution.
        stride: Its stride.
        in_chans: Channels of the images.
        grid: Height and width of the token grid.
        prefix_tokens: Class and distillation tokens.
        positions: Number of position vectors: one per token, or one per patch.
    """

    name: str
    dim: int
    patch_size: int
    stride: int
    in_chans: int
    grid: tuple[int, int]
    prefix_tokens: int
    positions: int

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return (Matrix(f"{self.name}proj", self.dim, self.in_chans, kernel=self.patch_size),)

    @property
    def biases(self) -> int:
        return self.dim * (1 + self.prefix_tokens + self.positions)

    @cached_property
    def macs(self) -> int:
        return math.prod(self.grid) * self.matrices[0].params


@dataclass(frozen=True, eq=False)
class SelfAttention(FusedAttention):
    """``x + attention(norm(x))`` of one block.

    Args:
        name: Name of the block, with its dot.
        dim: Embedding width.
        heads: Number of heads.
        head_dim: Channels of a head.
        grid: Height and width of the token grid.
        prefix_tokens: Class and distillation tokens.
        relative_positions: Rows of each of the four relative position tables, or 0.
    """

    name: str
    dim: int
    heads: int
    head_dim: int
    grid: tuple[int, int]
    prefix_tokens: int
    relative_positions: int = 0

    @property
    def biases(self) -> int:
        return 3 * self.dim + 3 * self.inner + 4 * self.relative_positions * self.head_dim

    @cached_property
    def macs(self) -> int:
        per_token = 4 * self.dim + 2 * self.tokens + 4 * self.relative_positions
        return self.tokens * self.inner * per_token


@dataclass(frozen=True, eq=False)
class MLP(TokenStep):
    """``x + mlp(norm(x))`` of one block.

    Args:
        name: Name of the block, with its dot.
        dim: Embedding width.
        hidden: Width of the hidden layer.
        grid: Height and width of the token grid.
        prefix_tokens: Class and distillation tokens.
    """

    name: str
    dim: int
    hidden: int
    grid: tuple[int, int]
    prefix_tokens: int

    ends_block = True

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return (
            Matrix(f"{self.name}mlp.fc1", self.hidden, self.dim),
            Matrix(f"{self.name}mlp.fc2", self.dim, self.hidden),
        )

    @property
    def biases(self) -> int:
        return 3 * self.dim + self.hidden

    @cached_property
    def macs(self) -> int:
        return 2 * self.tokens * self.dim * self.hidden


@dataclass(frozen=True, eq=False)
class Pooling(TokenStep):
    """Halve the grid and widen: a depthwise 3x3 convolution, a linear layer for prefix tokens.

    Args:
        name: Name of the pooling layer, with its dot.
        dim: Width before.
        out_dim: Width after, a multiple of ``dim``.
        before: Height and width of the grid before.
        grid: Height and width of the grid after.
        prefix_tokens: Class and distillation tokens.
    """

    name: str
    dim: int
    out_dim: int
    before: tuple[int, int]
    grid: tuple[int, int]
    prefix_tokens: int

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return (
            Matrix(f"{self.name}conv", self.out_dim, 1, kernel=3),
            Matrix(f"{self.name}fc", self.out_dim, self.dim),
        )

    @property
    def biases(self) -> int:
        return 2 * self.out_dim

    @cached_property
    def macs(self) -> int:
        convolution, linear = self.matrices
        return math.prod(self.grid) * convolution.params + self.prefix_tokens * linear.params

    @property
    def width(self) -> int:
        return self.out_dim


@dataclass(frozen=True, eq=False)
class Classifier(Step):
    """Final norm and classifiers.

    Args:
        name: Empty: its layers lie in the model itself.
        dim: Width.
        num_classes: Classes.
        distilled: Whether a distillation head stands beside the classifier.
    """

    name: str
    dim: int
    num_classes: int
    distilled: bool

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        heads = ("head", "head_dist") if self.distilled else ("head",)
        return tuple(Matrix(self.name + head, self.num_classes, self.dim) for head in heads)

    @property
    def biases(self) -> int:
        return 2 * self.dim + len(self.matrices) * self.num_classes

    @cached_property
    def macs(self) -> int:
        return sum(matrix.params for matrix in self.matrices)
