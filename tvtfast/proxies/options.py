"""Scores with options, as functions of a network and as proxies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, cast, overload

from torch import Tensor

from tvtfast.common.names import unknown
from tvtfast.proxies.base import Proxy, register
from tvtfast.proxies.option_text import option_text

P = ParamSpec("P")

Check = Callable[[Any], object]
"""Raises ``ValueError`` for what an option cannot be."""
Make = Callable[[str, Callable[..., Tensor]], Proxy]
"""From a column and a score with all its options to the proxy."""


class Score(Protocol[P]):
    """A score of a network, or without one the proxy with the options that are given."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, **options: Any) -> Proxy: ...


def with_options(make: Make, **options: Check) -> Callable[[Callable[P, Tensor]], Score[P]]:
    """Register a score as a proxy of its own name, with options.

    ``score(module, ...)`` stays what it is. ``score(option=value)`` and the name
    ``score:option=value`` are the proxy with that option, a column of its own.

    Args:
        make: Makes the proxy.
        **options: Keyword arguments of the score that the proxy has, and what checks each.
    """

    def decorate(score: Callable[P, Tensor]) -> Score[P]:
        @functools.wraps(score)
        def call(*args: Any, **given: Any) -> Any:
            if args or "module" in given:
                return score(*args, **given)
            return configure(**given)

        configure = functools.partial(_configured, call, make, options)
        register(configure())
        return cast("Score[P]", call)

    return decorate


def _configured(
    score: Callable[..., Any], make: Make, options: Mapping[str, Check], /, **given: Any
) -> Proxy:
    name = score.__name__
    for option in given:
        if option not in options:
            raise ValueError(unknown(f"option of proxy {name!r},", option, options))
        options[option](given[option])
    column = f"{name}:{option_text(given)}" if given else name
    made = make(column, functools.partial(score, **given) if given else score)
    return replace(made, with_options=functools.partial(_configured, score, make, options))
