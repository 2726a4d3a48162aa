"""The interface of a search space. Spaces are data: no torch, no model is ever built here."""

from __future__ import annotations

import itertools
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, ClassVar, Generic, TypeVar

from tvtfast.common import checks
from tvtfast.spaces.constraints import (
    PUBLISHED,
    Constraints,
    InfeasibleError,
    Window,
    describe_windows,
    parse_constraints,
)
from tvtfast.spaces.features import field_features
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.paths import Paths
from tvtfast.spaces.plain import plain, plain_fields, read_json, types_of, whole
from tvtfast.spaces.skeletons import Skeleton
from tvtfast.spaces.slices import Genes, Layout
from tvtfast.spaces.steps import Step
from tvtfast.spaces.variables import Variable

A = TypeVar("A")

_ENUMERABLE = 1_000_000
_DRAWS_PER_ARCH = 1_000
_MIN_DRAWS = 100_000
_MET = 4_096


class Space(ABC, Generic[A]):
    """A finite set of architectures of type ``A`` (a frozen, hashable dataclass).

    Wherever an architecture is expected, its encoded forms (JSON string, published dictionary) are
    accepted too. ``**options`` are the fields of `ModelOptions`; parameter counts and FLOPs depend
    on them. Seeds are integers or ``random.Random`` objects; equal integers give equal results on
    every machine.
    """

    name: str
    arch_type: ClassVar[type[Any]]
    contained_in: str | None = None
    """Name of a space that decodes all architectures of this one, and builds equal models of
    them."""
    pools: ClassVar[tuple[str, ...]] = ()
    """What classifiers of its models can read (``pool`` of the model options), the default first;
    empty for models without a choice."""
    softmax_scales: ClassVar[tuple[str, ...]] = ()
    """Other scales of the softmax that its models know (``softmax_scale`` of the model options)."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of architectures, without constraints."""

    @abstractmethod
    def draw(self, rng: random.Random) -> A:
        """One architecture; every decision is drawn independently and uniformly."""

    @abstractmethod
    def validate(self, arch: A) -> None:
        """Raise ``ValueError`` where no model is built like that, naming the decision, its value
        and what is allowed. A sound value that is not searched passes; `outside` tells it."""

    @abstractmethod
    def to_dict(self, arch: A) -> dict[str, Any]:
        """The published dictionary form, of plain JSON types."""

    @abstractmethod
    def from_dict(self, fields: Mapping[str, Any]) -> A:
        """Parse the published dictionary form; values are checked by `decode`."""

    @abstractmethod
    def _mutate(self, arch: A, rng: random.Random, prob: float) -> A: ...

    def _mutate_sized(self, arch: A, rng: random.Random, prob: float, size_prob: float) -> A:
        return self._mutate(arch, rng, prob)

    @abstractmethod
    def _crossover(self, first: A, second: A, rng: random.Random) -> A: ...

    def _steps(self, arch: A, options: ModelOptions) -> tuple[Step, ...]:
        raise ValueError(
            f"space {self.name!r} does not state the steps of its architectures; implement _steps, "
            "or _params and _macs alone and score candidates one by one"
        )

    def _skeletons(self, options: ModelOptions) -> Iterator[Skeleton[A]]:
        for arch in self._all():
            yield Skeleton(self._steps(arch, options), (), partial(_without_choices, arch))

    def _params(self, arch: A, options: ModelOptions) -> int:
        return sum(step.params for step in self._steps(arch, options))

    def _macs(self, arch: A, options: ModelOptions) -> int:
        return sum(step.macs for step in self._steps(arch, options))

    @abstractmethod
    def _span(self, metric: str, options: ModelOptions) -> Window: ...

    def _all(self) -> Iterator[A]:
        if self.size <= _ENUMERABLE:
            raise NotEnumerableError(
                f"space {self.name!r} does not list its {self.size:,} architectures; implement "
                "_all, or sample it instead"
            )
        raise NotEnumerableError(
            f"space {self.name!r} has {self.size:,} architectures, too many to enumerate "
            f"(limit {_ENUMERABLE:,}); sample it instead"
        )

    @property
    def enumerable(self) -> bool:
        """Whether `enumerate` lists the space."""
        return self.size <= _ENUMERABLE and type(self)._all is not Space._all

    def enumerate(self, constraints: Constraints | None = None, **options: Any) -> list[A]:
        """All architectures inside the constraints, in a fixed order.

        Raises:
            NotEnumerableError: The space is too large, or its class does not list it.
        """
        windows = parse_constraints(constraints)
        resolved = ModelOptions.of(**options)
        return [arch for arch in self._all() if self._inside(arch, windows, resolved)]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The decisions behind every architecture, where their number does not depend on others.

        Raises:
            ValueError: The space has no such list.
        """
        raise ValueError(
            f"space {self.name!r} does not state a fixed list of variables; search it with a "
            "strategy that needs none, such as 'random' or 'evolution'"
        )

    def from_choices(self, indices: Sequence[int]) -> A:
        """The architecture that takes choice ``indices[i]`` of variable ``i``.

        Raises:
            ValueError: As many indices as variables are needed, each within its choices.
        """
        variables = self.variables
        indices = [whole(self.name, "an index", index) for index in indices]
        if len(indices) != len(variables):
            raise ValueError(
                f"{self.name}: {len(indices)} indices for {len(variables)} variables; give one each"
            )
        values = []
        for index, variable in zip(indices, variables, strict=True):
            if not 0 <= index < len(variable.choices):
                raise ValueError(
                    f"{self.name}: index {index} of {variable.name}; "
                    f"allowed: 0 to {len(variable.choices) - 1}"
                )
            values.append(variable.choices[index])
        return self._from_values(values)

    def choices_of(self, arch: A | Mapping[str, Any] | str) -> tuple[int, ...]:
        """The index of the choice that an architecture takes of every variable; the inverse of
        `from_choices`.

        Raises:
            ValueError: An architecture that the space does not search has no such indices.
        """
        values = self._to_values(self.check_inside(arch))
        return tuple(
            variable.choices.index(value)
            for variable, value in zip(self.variables, values, strict=True)
        )

    def _from_values(self, values: Sequence[Any]) -> A:
        raise TypeError(f"{type(self).__name__} states variables; implement _from_values, too")

    def _to_values(self, arch: A) -> Sequence[Any]:
        raise TypeError(f"{type(self).__name__} states variables; implement _to_values, too")

    @property
    def has_steps(self) -> bool:
        """Whether its architectures are sequences of known layers, see `paths`."""
        return type(self)._steps is not Space._steps

    def paths(self, archs: Iterable[A | Mapping[str, Any] | str], **options: Any) -> Paths:
        """A population as sequences of steps: parameters, FLOPs and whatever else is a sum over
        layers are sums over them.

        Raises:
            ValueError: An architecture that is not sound, or a space that does not state its steps.
        """
        return self.paths_of(map(self.decode, archs), ModelOptions.of(**options))

    def paths_of(self, archs: Iterable[A], options: ModelOptions) -> Paths:
        """`paths` of architectures that were decoded already, which are not checked again."""
        return Paths.of(self._steps(arch, options) for arch in archs)

    def skeletons(self, **options: Any) -> Iterator[Skeleton[A]]:
        """The whole space as few architectures with slots in which layers are chosen; a space that
        states none is listed, an architecture at a time.

        Raises:
            ValueError: A space that does not state its steps.
            NotEnumerableError: One without slots that is too large to list.
        """
        return self._skeletons(ModelOptions.of(**options))

    usual_sharing: ClassVar[str] = "cyclic"
    """How a superformer of the space shares channels unless told otherwise."""

    usual_qkv_mode: ClassVar[int] = 2
    """What is private to a number of heads there unless told otherwise."""

    def largest(self) -> Iterator[A]:
        """Architectures of the largest widths and depth that together use every parameter that a
        superformer of the space stores.

        Raises:
            ValueError: A space without a superformer.
        """
        raise self._no_superformer()

    def genes(self, arch: A) -> Genes:
        """The decisions of an architecture by the link that takes them up.

        Candidates with equal genes up to some link are the same network on the same slices up to
        there: what a slice is private to, and the widths it is cut by, are among them. Genes of two
        architectures can be compared by order.

        Raises:
            ValueError: A space without a superformer.
        """
        raise self._no_superformer()

    def layout(self, arch: A, qkv_mode: int) -> Layout:
        """Where every parameter of an architecture lies among those of the superformer.

        Args:
            arch: An architecture of the space.
            qkv_mode: What is private to a number of heads, see `tvtfast.spaces.QKV_MODES`; a space
                without a choice of heads has no use for it.

        Raises:
            ValueError: A space without a superformer.
        """
        raise self._no_superformer()

    def fused_layout(self, arch: A, qkv_mode: int) -> Layout:
        """`layout` as the released code of ViTAS has it: q and k (in mode 0 also v) are one stored
        weight and are cut as one, so that a width of ``w`` takes ``2 w`` of its channels, and those
        of k are others for every width.

        Raises:
            ValueError: A space that was not released so.
        """
        raise ValueError(
            f"space {self.name!r} has no fused q and k: that is how the released code of ViTAS "
            "cuts vitas-deit, vitas-deit-large and vitas-deit-cell; leave fused_qk out"
        )

    def draw_active(self, rng: random.Random, identity_probability: float) -> A:
        """One architecture each of whose slots holds no block with a given probability.

        Raises:
            ValueError: A space whose blocks cannot be missing.
        """
        raise ValueError(
            f"space {self.name!r} draws no identity blocks; train its superformer without a window "
            "of FLOPs, or implement draw_active"
        )

    def decisions(self, arch: A) -> dict[str, Any]:
        """What an architecture decides, by name, as far as a superformer trains it: a block that is
        not there decides nothing.

        Names that differ in square brackets alone are of one kind. Default: the `genes`, each by
        its number and place.

        Raises:
            ValueError: A space without a superformer.
        """
        return {
            f"gene {number}[{place}]": value
            for place, gene in enumerate(self.genes(arch))
            for number, value in enumerate(gene)
        }

    def decision_values(self) -> dict[str, tuple[Any, ...]]:
        """All values of every name in `decisions`.

        Default: those that are met in `largest` and in 4,096 draws. A space with rarer ones states
        them.

        Raises:
            ValueError: A space without a superformer.
        """
        rng = random.Random(0)
        found: dict[str, dict[Any, None]] = {}
        for arch in itertools.chain(self.largest(), (self.draw(rng) for _ in range(_MET))):
            for name, value in self.decisions(arch).items():
                found.setdefault(name, {})[value] = None
        return {name: tuple(values) for name, values in found.items()}

    def draw_deciding(self, rng: random.Random, name: str, value: Any) -> A:
        """`draw` of an architecture that decides ``name`` so, all else as likely as it is then.

        Default: draws until one does.

        Raises:
            ValueError: None of 100,000 does, or a space without a superformer.
        """
        for _ in range(_MIN_DRAWS):
            arch = self.draw(rng)
            if self.decisions(arch).get(name) == value:
                return arch
        raise ValueError(
            f"none of {_MIN_DRAWS:,} architectures of {self.name!r} has {name} = {value!r}; "
            "implement draw_deciding, or leave the value out of decision_values"
        )

    def _no_superformer(self) -> ValueError:
        return ValueError(
            f"there is no superformer for space {self.name!r}; take one of ViTAS (vitas-deit, "
            "vitas-deit-large, vitas-twins) or of AutoFormer (autoformer-tiny, "
            "autoformer-original-tiny, -small, -base), or one of your own that implements largest, "
            "genes and layout"
        )

    def decode(self, encoded: A | Mapping[str, Any] | str) -> A:
        """Parse and validate a JSON string or a published dictionary.

        Numbers and arrays of NumPy and PyTorch stand for plain ones, also in the fields of an
        architecture; the result has none.

        Raises:
            ValueError: Not JSON, a missing or unknown key, or a value that no model is built with;
                values that are merely not searched pass, see `outside`.
        """
        if isinstance(encoded, self.arch_type):
            arch = self._with_plain_numbers(encoded)
        else:
            arch = self._parse(plain(encoded))
        self.validate(arch)
        return arch

    def _with_plain_numbers(self, arch: A) -> A:
        """The architecture with numbers of the types that `from_dict` gives them."""
        seen = _plain_types(type(self))
        types = types_of(arch)
        if types in seen:
            return arch
        arch = plain_fields(arch)
        parsed = self.from_dict(self.to_dict(arch))
        if parsed != arch:
            return arch
        seen.add(types_of(parsed))
        return parsed

    def _parse(self, encoded: Any) -> A:
        if isinstance(encoded, str):
            try:
                encoded = read_json(encoded)
            except ValueError as error:
                raise ValueError(
                    f"architecture of space {self.name!r} is not JSON ({error}): {encoded[:80]!r}"
                ) from None
        if not isinstance(encoded, Mapping):
            raise ValueError(
                f"an architecture of space {self.name!r} is a dict, a JSON object or a "
                f"{self.arch_type.__name__}, got {type(encoded).__name__}"
            )
        return self.from_dict(encoded)

    def outside(self, arch: A | Mapping[str, Any] | str) -> str:
        """Why the space would not propose an architecture, in one line; empty for its own.

        What is searched and what can be built are two things: such an architecture is decoded,
        built, counted, scored and trained as any other. Drawing and varying stay inside.

        Raises:
            ValueError: It is not sound, see `decode`.
        """
        return self._outside(self.decode(arch))

    def _outside(self, arch: A) -> str:
        return ""

    def contains(self, arch: A | Mapping[str, Any] | str) -> bool:
        """Whether the space would propose an architecture, see `outside`."""
        return not self.outside(arch)

    def is_within(self, name: str) -> bool:
        """Whether it is the space of a name, or contained in it: a superformer of that space has
        the weights of all its architectures."""
        return name in (self.name, self.contained_in)

    def check_inside(self, arch: A | Mapping[str, Any] | str) -> A:
        """`decode` an architecture that the space has to propose itself.

        Raises:
            ValueError: It is not sound, or the space does not search it.
        """
        decoded = self.decode(arch)
        if why := self._outside(decoded):
            raise ValueError(
                f"{self.name}: {why}; it can be built and scored, but here an architecture has to "
                "be one that the space searches"
            )
        return decoded

    def note_outside(self, archs: Iterable[A]) -> str:
        """One line on those of some decoded architectures that the space would not propose; empty
        where there are none."""
        whys = [self._outside(arch) for arch in archs]
        found = [why for why in whys if why]
        if not found:
            return ""
        which = "the architecture is" if len(whys) == 1 else f"{len(found)} of {len(whys)} are"
        return (
            f"{which} none that a search of {self.name!r} would propose "
            f"({'' if len(found) == 1 else 'the first: '}{found[0]}); taken all the same"
        )

    def encode(self, arch: A | Mapping[str, Any] | str) -> str:
        """Canonical JSON: sorted keys, no white space. Equal architectures give equal strings."""
        return self.text(self.decode(arch))

    def text(self, arch: A) -> str:
        """`encode` of an architecture that was decoded already, which is not checked again."""
        return _JSON.encode(self.to_dict(arch))

    def params(
        self, arch: A | Mapping[str, Any] | str, num_classes: int = 100, **options: Any
    ) -> int:
        """Exact parameter count of the built model, in closed form."""
        return self._params(self.decode(arch), ModelOptions.of(num_classes=num_classes, **options))

    def flops(
        self,
        arch: A | Mapping[str, Any] | str,
        img_size: int | tuple[int, int] = 224,
        **options: Any,
    ) -> int:
        """FLOPs of one image in evaluation mode, two per multiply-add, in closed form.

        Counts convolutions, linear layers and the two attention products, as
        ``torch.utils.flop_counter`` does; norms, softmax, biases and additions count nothing.
        """
        return 2 * self._macs(self.decode(arch), ModelOptions.of(img_size=img_size, **options))

    def macs(
        self,
        arch: A | Mapping[str, Any] | str,
        img_size: int | tuple[int, int] = 224,
        **options: Any,
    ) -> int:
        """Multiply-adds of one image, half of `flops`: what most papers call FLOPs."""
        return self._macs(self.decode(arch), ModelOptions.of(img_size=img_size, **options))

    def features(self, arch: A | Mapping[str, Any] | str) -> dict[str, float]:
        """Numbers of an architecture in closed form, by name, the same names for all of a space.

        The spaces of this package have ``depth``, the number of blocks, and of ``width`` (embedding
        width), ``num_heads``, ``mlp_ratio`` and what else their blocks differ in the mean over
        blocks, and the sum as ``<name>_sum``. Default: the fields of the architecture, tuples of
        numbers by mean and sum.
        """
        return self._features(self.decode(arch))

    def features_of(self, arch: A) -> dict[str, float]:
        """`features` of an architecture that was decoded already, which is not checked again."""
        return self._features(arch)

    def _features(self, arch: A) -> dict[str, float]:
        return field_features(arch)

    def flops_of(self, arch: A, options: ModelOptions) -> int:
        """`flops` of an architecture that was decoded already, which is not checked again."""
        return self._measure("flops", arch, options)

    @property
    def has_published_flops(self) -> bool:
        """Whether `published_flops_of` counts."""
        return type(self).published_flops_of is not Space.published_flops_of

    def published_flops_of(self, arch: A, options: ModelOptions) -> int:
        """Cost of one image by the counter of the released code, in the unit of its budgets.

        Raises:
            ValueError: A space that was published without such a counter.
        """
        raise self._no_published_flops()

    def _no_published_flops(self) -> ValueError:
        return ValueError(
            f"space {self.name!r} has no published counter of its own: {PUBLISHED} are those of "
            "ViTAS' released code, for vitas-deit, vitas-deit-large and vitas-deit-cell; limit "
            "flops or macs"
        )

    def mutate(
        self,
        arch: A | Mapping[str, Any] | str,
        seed: int | random.Random = 0,
        *,
        prob: float = 0.2,
        size_prob: float | None = None,
    ) -> A:
        """Redraw each decision with probability ``prob``; the result is one the space searches, and
        so has ``arch`` to be.

        ``size_prob`` is that of the decisions on the whole, such as depth and width, in spaces that
        tell them from those on single blocks; default ``prob``.
        """
        size_prob = prob if size_prob is None else size_prob
        for name, given in (("prob", prob), ("size_prob", size_prob)):
            if not 0.0 <= given <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {given}")
        return self._mutate_sized(self.check_inside(arch), _rng(seed), prob, size_prob)

    def crossover(
        self,
        first: A | Mapping[str, Any] | str,
        second: A | Mapping[str, Any] | str,
        seed: int | random.Random = 0,
    ) -> A:
        """Take each decision from one of the parents, which the space has to search, with equal
        probability."""
        parents = self.check_inside(first), self.check_inside(second)
        return self._crossover(*parents, _rng(seed))

    def check_options(self, **options: Any) -> None:
        """Refuse options that the space has no models for, such as patches that leave pixels out.

        Raises:
            TypeError: An option that no model has.
            ValueError: Options that do not go together.
        """
        arch, resolved = self.draw(random.Random(0)), ModelOptions.of(**options)
        self._measure("flops", arch, resolved)
        self.check_form(resolved)

    def check_form(self, options: ModelOptions) -> None:
        """Refuse forms that its models do not have.

        Raises:
            ValueError: A ``pool`` or a ``softmax_scale`` that is none of theirs.
        """
        self.pool_of(options)
        scale = options.softmax_scale
        if scale is not None and scale not in self.softmax_scales:
            raise ValueError(
                f"{self.name}: softmax_scale is {scale!r}, and its models scale by the width of a "
                "head; leave it out, or take a space of ViTAS over DeiT"
            )

    def pool_of(self, options: ModelOptions) -> str | None:
        """What the classifier of its models reads, see `pools`; ``None`` where there is no choice.

        Raises:
            ValueError: ``options.pool`` is none of them.
        """
        if options.pool is None:
            return self.pools[0] if self.pools else None
        if options.pool not in self.pools:
            allowed = " or ".join(map(repr, self.pools)) or "nothing"
            raise ValueError(
                f"{self.name}: pool is {options.pool!r}, which its models do not have; give "
                f"{allowed}, or leave it out"
            )
        return options.pool

    def satisfies(
        self, arch: A | Mapping[str, Any] | str, constraints: Constraints | None, **options: Any
    ) -> bool:
        """Whether the architecture lies inside every window."""
        return self._inside(
            self.decode(arch), parse_constraints(constraints), ModelOptions.of(**options)
        )

    def feasible_range(self, metric: str, **options: Any) -> Window:
        """Least and greatest ``params``, ``flops``, ``macs`` or ``published_flops`` over the space.

        Raises:
            ValueError: Another metric, or a space without published counter.
        """
        parse_constraints({metric: (None, None)})
        resolved = ModelOptions.of(**options)
        if metric == "macs":
            low, high = self._span("flops", resolved)
            return low / 2, high / 2
        return self._known_span(metric, resolved)

    def sample(
        self,
        n: int,
        seed: int | random.Random = 0,
        constraints: Constraints | None = None,
        **options: Any,
    ) -> list[A]:
        """Draw ``n`` distinct architectures inside the constraints.

        Every decision is drawn uniformly and independently, as published; duplicates and
        architectures outside a window are drawn again, on closed-form counts. The first ``k`` of a
        sample of ``n`` are the sample of ``k`` with the same seed.

        Args:
            n: How many.
            seed: Integer, or a generator to continue.
            constraints: ``{"params": (low, high), "flops": (low, high)}``, see `parse_constraints`.
            **options: Fields of `ModelOptions` that the counts depend on.

        Raises:
            InfeasibleError: No architecture, or fewer than ``n``, can be found inside the windows;
                the message names the feasible range.
        """
        n = checks.whole("n", n, least=0)
        windows = parse_constraints(constraints)
        resolved = ModelOptions.of(**options)
        self._refuse_disjoint(windows, resolved)
        rng = _rng(seed)
        if self.enumerable:
            return self._sample_enumerated(n, rng, windows, resolved)
        found: dict[A, None] = {}
        draws = 0
        limit = max(_MIN_DRAWS, _DRAWS_PER_ARCH * n)
        while len(found) < n:
            if draws == limit:
                raise InfeasibleError(
                    f"found {len(found)} of {n} architectures of {self.name!r} with "
                    f"{describe_windows(windows)} in {draws:,} draws; the space spans "
                    f"{self._ranges(windows, resolved)}; widen the window or ask for fewer"
                )
            draws += 1
            arch = self.draw(rng)
            if arch not in found and self._inside(arch, windows, resolved):
                found[arch] = None
        return list(found)

    def _sample_enumerated(
        self, n: int, rng: random.Random, windows: dict[str, Window], options: ModelOptions
    ) -> list[A]:
        inside = [arch for arch in self._all() if self._inside(arch, windows, options)]
        if n > len(inside):
            where = f" with {describe_windows(windows)}" if windows else ""
            spans = f"; the space spans {self._ranges(windows, options)}" if windows else ""
            raise InfeasibleError(
                f"asked for {n} architectures of {self.name!r}{where}, but only {len(inside)} "
                f"of {self.size:,} exist there{spans}; widen the window or ask for fewer"
            )
        rng.shuffle(inside)
        return inside[:n]

    def infeasible(self, constraints: Constraints | None, **options: Any) -> InfeasibleError:
        """The error that says that no architecture lies inside the constraints, and what the space
        spans."""
        return self._infeasible(parse_constraints(constraints), ModelOptions.of(**options))

    def _infeasible(self, windows: dict[str, Window], options: ModelOptions) -> InfeasibleError:
        return InfeasibleError(
            f"no architecture of {self.name!r} has {describe_windows(windows)}; the space spans "
            f"{self._ranges(windows, options)}; move the window into it, or widen it"
        )

    def _refuse_disjoint(self, windows: dict[str, Window], options: ModelOptions) -> None:
        for metric, (low, high) in windows.items():
            least, most = self._known_span(metric, options)
            if high < least or low > most:
                raise self._infeasible({metric: (low, high)}, options)

    def _ranges(self, windows: Mapping[str, Window], options: ModelOptions) -> str:
        return describe_windows({metric: self._known_span(metric, options) for metric in windows})

    def _known_span(self, metric: str, options: ModelOptions) -> Window:
        if metric == PUBLISHED and not self.has_published_flops:
            raise self._no_published_flops()
        return self._span(metric, options)

    def _inside(self, arch: A, windows: Mapping[str, Window], options: ModelOptions) -> bool:
        return all(
            low <= self._measure(metric, arch, options) <= high
            for metric, (low, high) in windows.items()
        )

    def _measure(self, metric: str, arch: A, options: ModelOptions) -> int:
        if metric == "params":
            return self._params(arch, options)
        if metric == PUBLISHED:
            return self.published_flops_of(arch, options)
        return 2 * self._macs(arch, options)


class NotEnumerableError(ValueError):
    """The space is too large to list, or its class does not list it."""


def _without_choices(arch: A, choices: Sequence[Any]) -> A:
    return arch


def _rng(seed: int | random.Random) -> random.Random:
    return seed if isinstance(seed, random.Random) else random.Random(checks.seed(seed))


@cache
def _plain_types(space: type[Any]) -> set[tuple[Any, ...]]:
    """Types of the numbers of architectures that need no parsing, see `types_of`."""
    return set()


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def take(space: str, fields: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any]:
    """The values of exactly ``keys``; missing and unknown keys are a ``ValueError``."""
    missing = [key for key in keys if key not in fields]
    unknown = sorted(str(key)[:80] for key in set(fields) - set(keys))[:5]
    if missing or unknown:
        raise ValueError(
            f"{space}: an architecture has the keys {', '.join(keys)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    return [fields[key] for key in keys]
