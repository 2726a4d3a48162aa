"""What has to be scored before a constraint on it can be held against a candidate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tvtfast.common.names import unknown
from tvtfast.proxies.base import CombinedProxy, Proxy, available, get, resolve
from tvtfast.proxies.derived import DerivedProxy


def constrained_proxies(
    names: Iterable[str], single: Sequence[Proxy], combined: Sequence[CombinedProxy]
) -> tuple[Proxy, ...]:
    """What constraints need beside what is scored anyway: the proxies they name, and of one that is
    measured its spread (``throughput_spread``, ``latency_spread:1``).

    Args:
        names: Columns with a constraint.
        single: Proxies that are scored.
        combined: Combinations that are scored.

    Raises:
        ValueError: A name that is no proxy, or one of a combination.
    """
    scored: dict[str, Proxy | CombinedProxy] = {proxy.name: proxy for proxy in single}
    scored |= {proxy.name: proxy for proxy in combined}
    scored |= {other.name: other for proxy in single for other in proxy.beside}
    found: dict[str, Proxy] = {}
    for name in names:
        head, colon, argument = name.partition(":")
        if name not in scored and head not in available():
            raise ValueError(unknown("constraint", name, dict.fromkeys((*scored, *available()))))
        proxy = scored.get(name) or get(name)
        if isinstance(proxy, DerivedProxy):
            if name in scored:
                continue
            raise ValueError(
                f"constraint {name!r} is of a score that nobody asked for; score it with proxies=, "
                f"and constrain {proxy.name!r}"
            )
        if isinstance(proxy, CombinedProxy):
            raise ValueError(
                f"constraint {name!r} is scaled over a population, so a window of it means "
                f"something else in every one; constrain its parts: {', '.join(proxy.parts)}"
            )
        found[name] = proxy
        if f"{head}_spread" in available():
            spread, _ = resolve([f"{head}_spread{colon}{argument}"])
            found |= {one.name: one for one in spread}
    return tuple(proxy for name, proxy in found.items() if name not in scored)
