"""What a proxy is, and the table of those known by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from tvtfast.common.names import unknown
from tvtfast.common.plugins import Plugins
from tvtfast.models import FeatureFn, SpatialFeatures
from tvtfast.proxies.factory import ProxyFactory
from tvtfast.proxies.groups import GROUPS, expand_groups
from tvtfast.proxies.loss_gradients import LossGradients
from tvtfast.proxies.option_text import parsed_options

NEEDS = ("weights", "images", "labels", "teacher", "gradients")


class UndefinedScoreError(ArithmeticError):
    """A score has no value for a candidate; recorded with status ``nan`` and this reason."""


class UndeclaredInputError(RuntimeError):
    """A proxy reads an input that its ``needs`` does not declare."""


class ProxyInputs(Protocol):
    """One candidate as a proxy sees it. Everything is made on first use and shared by all proxies.

    A proxy may read only what it declares in ``needs``, since scores are stored by that: anything
    else raises `UndeclaredInputError`. It may change weights, modes and hooks of the module: the
    next proxy finds them as they were. It may not change images, labels or the teacher's features.
    What it draws from PyTorch's global generator follows from seed, candidate and its own name.
    """

    @property
    def arch(self) -> Any:
        """The architecture; ``None`` for a module."""

    @property
    def params(self) -> int:
        """Parameter count."""

    @property
    def flops(self) -> int:
        """FLOPs of one image, two per multiply-add."""

    @property
    def module(self) -> nn.Module:
        """The candidate with its weights. Needs ``weights``."""

    @property
    def seed(self) -> int:
        """Seed of the weights, for what a proxy draws beside them. Needs ``weights``."""

    @property
    def img_size(self) -> tuple[int, int]:
        """Height and width of the images that the candidate is for."""

    @property
    def feature_fn(self) -> FeatureFn | None:
        """How to read features of the module; ``None`` for its own interface."""

    @property
    def images(self) -> Tensor:
        """The frozen batch ``[B, 3, H, W]``. Needs ``images``."""

    @property
    def labels(self) -> Tensor:
        """Labels of the batch, int64 ``[B]``. Needs ``labels``."""

    @property
    def features(self) -> SpatialFeatures:
        """Last-block features of the batch, without history. Needs ``weights`` and ``images``."""

    @property
    def gradients(self) -> LossGradients:
        """Gradients of the cross entropy of the batch, one backward pass for all proxies. Needs
        ``weights``, ``images``, ``labels`` and ``gradients``."""

    def running(self) -> AbstractContextManager[Tensor]:
        """The mode and number format of the candidates, for a forward pass of the module inside;
        gives the images on its device. Needs ``weights`` and ``images``."""

    def teacher_map(self, size: tuple[int, int]) -> Tensor:
        """Attention map of the teacher's last stage at a size, ``[B, H*W]``. Needs ``teacher``."""

    @property
    def teacher_features(self) -> SpatialFeatures:
        """Last-stage features of the teacher for the batch. Needs ``teacher``."""

    @property
    def teacher_class_map(self) -> SpatialFeatures:
        """Class map of the teacher for the batch, see `tvtfast.models.class_map`. Needs
        ``teacher``."""

    @property
    def teacher_size(self) -> tuple[int, int]:
        """Grid of the teacher's last stage. Needs ``teacher``."""


class StepInputs(Protocol):
    """One layer of a candidate, as a proxy that is a sum over layers sees it."""

    @property
    def params(self) -> int:
        """Parameter count."""

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""

    @property
    def weight_norms(self) -> Sequence[float]:
        """L2 norms of its convolution and linear weights. Needs ``weights``."""


@dataclass(frozen=True)
class Proxy:
    """A score of one untrained candidate.

    ``compute`` says what it is for a single candidate. Where the score is a mean over images, a sum
    over layers or a function of the last features, say that too, and whole populations are scored
    at once, with equal results.

    Args:
        name: Column name.
        compute: The score as a float.
        higher_is_better: Direction of the score.
        needs: What it depends on, out of ``weights, images, labels, teacher, gradients``.
        version: Raise it whenever the value changes; stored scores of other versions are not used.
        depends_on: What else its values depend on (a machine, the weights of another network), as
            plain JSON values; part of the key of stored scores.
        description: One line for listings, with the source.
        per_image: Score of every image, ``[*, B]``, from ``features`` of one candidate or of
            several ``[K, B, P+N, C]``; the score is its mean over images.
        per_step: Summand of one layer; the score is the sum over layers.
        of_features: Whether ``compute`` reads of a candidate its ``features`` alone, beside images
            and teacher, so that whole populations share their forward passes.
        per_block: Value of one block, from ``features``, which are then its output, and its number
            from 0; computed once for all candidates of a population that begin with the same
            layers.
        of_blocks: The score from the values of all blocks, first to last; goes with ``per_block``.
        compute_many: For a score of nothing but ``inputs.arch``: from several architectures of one
            space their scores by place, some at a time, as they are ready; ``compute`` is asked
            about those that it leaves out.
        beside: What stands beside it in every table and is not ranked, such as how far it can be
            relied on.
        model_options: Options (`tvtfast.spaces.ModelOptions`) of the models that its values are
            of, such as those of a superformer; others are refused.
        compute_draws: ``compute`` of several weight draws of one candidate in one computation, in
            their order; NaN where a draw has no value, and ``compute`` is asked why.
        read_only: Whether ``compute`` changes nothing of the module; then no copy of the weights is
            kept to put them back, and a change that is made all the same stays.
        with_options: From keywords to the proxy with these options, under a name of its own;
            ``None`` for a proxy without any. `get` calls it for ``name:option=value,...``.

    What fails: ``UndefinedScoreError`` and ``UnsupportedModelError`` become the status of a cell,
    as does any other error of ``compute``, ``per_image``, ``per_step`` and ``compute_draws``. An
    error of ``compute_many`` concerns no single candidate and is raised. Want of memory, or an
    unsupported model, in ``compute_many`` and ``compute_draws`` leads to ``compute``, with a
    warning (`tvtfast.FallbackWarning`).
    """

    name: str
    compute: Callable[[ProxyInputs], float]
    higher_is_better: bool = True
    needs: frozenset[str] = field(default_factory=frozenset)
    version: int = 1
    depends_on: Callable[[], Mapping[str, Any]] | None = None
    description: str = ""
    per_image: Callable[[ProxyInputs], Tensor] | None = None
    per_step: Callable[[StepInputs], float] | None = None
    of_features: bool = False
    per_block: Callable[[ProxyInputs, int], float] | None = None
    of_blocks: Callable[[Sequence[float]], float] | None = None
    compute_many: Callable[[Sequence[Any]], Iterable[Mapping[int, float]]] | None = None
    compute_draws: Callable[[Sequence[ProxyInputs]], Sequence[float]] | None = None
    beside: tuple[Proxy, ...] = ()
    model_options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    read_only: bool = field(default=False, compare=False)
    with_options: Callable[..., Proxy] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        foreign = sorted(set(self.needs) - set(NEEDS))
        if foreign:
            raise ValueError(
                f"proxy {self.name!r} needs {', '.join(foreign)}; known: {', '.join(NEEDS)}"
            )
        if (self.per_block is None) != (self.of_blocks is None):
            raise ValueError(
                f"proxy {self.name!r} has one of per_block and of_blocks; give both or neither"
            )
        if self.compute_many is not None and self.needs:
            raise ValueError(
                f"proxy {self.name!r} needs {', '.join(sorted(self.needs))}, and compute_many sees "
                "architectures alone; leave one of the two out"
            )


@dataclass(frozen=True)
class CombinedProxy:
    """A score of a candidate within its population: other proxies, combined.

    Args:
        name: Column name.
        parts: Names of the proxies it combines.
        method: How, see `tvtfast.rank`.
        description: One line for listings, with the source.
    """

    name: str
    parts: tuple[str, ...]
    method: str = "minmax_sum"
    description: str = ""

    higher_is_better: bool = field(default=True, init=False)


_proxies: dict[str, Proxy | CombinedProxy | ProxyFactory[Any]] = {}


def register(
    proxy: Proxy | CombinedProxy | ProxyFactory[Any],
) -> Proxy | CombinedProxy | ProxyFactory[Any]:
    """Add a proxy, a combination or a factory under its name.

    Raises:
        ValueError: The name is taken, perhaps by a proxy of an installed package, or a part of a
            combined proxy is unknown or a factory.
    """
    if proxy.name in GROUPS:
        raise ValueError(f"{proxy.name!r} is a group of proxies; choose another name")
    if proxy.name in _proxies:
        raise ValueError(f"a proxy named {proxy.name!r} is registered already; choose another name")
    PLUGINS.refuse_taken(proxy.name, proxy)
    if isinstance(proxy, CombinedProxy):
        for part in proxy.parts:
            _refuse_factory(proxy, part)
            get(part)
    _proxies[proxy.name] = proxy
    return proxy


def _refuse_factory(combined: CombinedProxy, part: str) -> None:
    name = part.partition(":")[0]
    if isinstance(PLUGINS.find(name), ProxyFactory):
        raise ValueError(
            f"proxy {combined.name!r} combines {name!r}, which is made from an argument; score it "
            "beside the others, and tvtfast.rank combines them"
        )


def available() -> tuple[str, ...]:
    """Names of the registered proxies, and of those that installed packages bring along; that of a
    factory needs an argument behind it, see `get`."""
    return tuple(sorted({*_proxies, *PLUGINS.names()}))


def _enter(name: str, brought: Any) -> None:
    """Register what a package brings along, unless its module did."""
    if not isinstance(brought, (Proxy, CombinedProxy, ProxyFactory)):
        raise TypeError(f"it is {brought!r}, and no tvtfast.proxies.Proxy")
    if brought.name != name:
        raise ValueError(f"the proxy is named {brought.name!r}; name the entry point like it")
    if _proxies.get(name) is not brought:
        register(brought)


PLUGINS: Plugins[Proxy | CombinedProxy | ProxyFactory[Any]] = Plugins(
    "tvtfast.proxies", "proxy", lambda: _proxies, _enter, reserved=GROUPS
)


def get(name: str | Proxy | CombinedProxy) -> Proxy | CombinedProxy:
    """The proxy of a name; a proxy passes through. A group is no proxy, see `resolve`.

    A factory is named with its argument, ``name:argument``: ``inherited_accuracy:runs/super``. It
    makes a proxy anew every time. A proxy with options is ``name:option=value,option=value``:
    ``ntk_condition:method=samples``.

    Raises:
        ValueError: An unknown name (the message lists the known ones), a factory without its
            argument, or options that the proxy does not have.
        PluginError: It is that of an installed package, and cannot be loaded.
    """
    if isinstance(name, (Proxy, CombinedProxy)):
        return name
    if not isinstance(name, str):
        raise ValueError(unknown("proxy", name, available(), also="a proxy of your own"))
    if name in GROUPS:
        raise ValueError(
            f"{name!r} is a group of proxies ({', '.join(GROUPS[name])}); name one of them here"
        )
    found = PLUGINS.find(name)
    if found is None:
        head, colon, argument = name.partition(":")
        named = PLUGINS.find(head)
        if isinstance(named, ProxyFactory):
            made: Proxy | CombinedProxy = named(argument)
            return made
        if named is not None and colon:
            return _with_options(named, argument)
        raise ValueError(unknown("proxy", name, available()))
    return found("") if isinstance(found, ProxyFactory) else found


def _with_options(proxy: Proxy | CombinedProxy, text: str) -> Proxy:
    if not isinstance(proxy, Proxy) or proxy.with_options is None:
        raise ValueError(f"proxy {proxy.name!r} has no options; leave {':' + text!r} out")
    return proxy.with_options(**parsed_options(proxy.name, text))


def made_later(name: str | Proxy | CombinedProxy) -> str | None:
    """The column of a proxy that a factory makes from its argument, at a cost; ``None`` for every
    other."""
    head = name.partition(":")[0] if isinstance(name, str) else ""
    factory = PLUGINS.find(head)
    return head if isinstance(factory, ProxyFactory) and not factory.in_name else None


def beside_later(name: str | Proxy | CombinedProxy) -> tuple[str, ...]:
    """The columns that may stand beside a proxy that a factory makes from its argument."""
    factory = PLUGINS.find(made_later(name) or "")
    return factory.beside if isinstance(factory, ProxyFactory) else ()


def resolve(
    names: Iterable[str | Proxy | CombinedProxy],
) -> tuple[tuple[Proxy, ...], tuple[CombinedProxy, ...]]:
    """Split names into proxies of one candidate, parts included and each once, and combinations.

    The name of a group (`tvtfast.proxies.GROUPS`) stands for its members.

    Raises:
        ValueError: An unknown name, no name at all, a factory without its argument or with two, or
            a combination of combinations.
    """
    single: dict[str, Proxy] = {}
    combined: dict[str, CombinedProxy] = {}
    met: set[str] = set()
    for name in expand_groups(names):
        if isinstance(name, str):
            if name in met:
                continue
            met.add(name)
        proxy = get(name)
        if isinstance(proxy, Proxy):
            _refuse_second(single.get(proxy.name), proxy)
            single[proxy.name] = proxy
            continue
        _refuse_second(combined.get(proxy.name), proxy)
        combined[proxy.name] = proxy
        for part_name in proxy.parts:
            part = get(part_name)
            if isinstance(part, CombinedProxy):
                raise ValueError(
                    f"proxy {proxy.name!r} combines {part.name!r}, itself a combination"
                )
            single[part.name] = part
    if not single:
        raise ValueError(f"no proxy was named; known: {', '.join(available())}")
    return tuple(single.values()), tuple(combined.values())


def _refuse_second(first: Proxy | CombinedProxy | None, proxy: Proxy | CombinedProxy) -> None:
    """Of two proxies of one factory the second would replace the first."""
    if first not in (None, proxy) and isinstance(_proxies.get(proxy.name), ProxyFactory):
        raise ValueError(
            f"two proxies are both the column {proxy.name!r}; score one at a time, or make one "
            "with a name of its own"
        )
