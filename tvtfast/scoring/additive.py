"""Scores that are sums over layers, layer by layer: what an exact search needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvtfast.proxies import CombinedProxy, DerivedProxy, Proxy
from tvtfast.scoring.joint import step_values, weight_bank
from tvtfast.scoring.setup import Setup
from tvtfast.spaces import Step


def additive_values(setup: Setup, steps: Sequence[Step]) -> list[float]:
    """Summands of the score for some steps of the space, higher is better; means over weight draws.

    Raises:
        ValueError: The score is not that of one proxy that is a sum over layers.
    """
    proxy = _additive_proxy(setup)
    assert setup.space is not None
    draws = [
        step_values(
            proxy, steps, weight_bank(setup.space, steps, seed, setup.conditions, setup.weights)
        )
        for seed in setup.seeds_of(proxy)
    ]
    sign = 1.0 if proxy.higher_is_better else -1.0
    return [sign * math.fsum(values) / len(values) for values in zip(*draws, strict=True)]


def _additive_proxy(setup: Setup) -> Proxy:
    scored = [proxy for proxy in setup.single if proxy.name in setup.scored]
    told = [
        proxy.name if proxy.per_step else f"{proxy.name} (not a sum over layers)"
        for proxy in scored
    ] + [f"{proxy.name} ({_why_not(proxy)})" for proxy in setup.combined]
    if len(told) > 1 or not scored or scored[0].per_step is None:
        raise ValueError(
            "the best architectures are found exactly for one proxy that is a sum over layers, "
            f"and the proxies are {', '.join(told)}; choose one alone, such as weight_norm, or "
            "another strategy"
        )
    if setup.conditions.paper and scored[0].needs:
        raise ValueError(
            "the best architectures are found exactly where candidates share their weights; "
            "choose protocol 'fixed', or another strategy"
        )
    return scored[0]


def _why_not(proxy: CombinedProxy) -> str:
    if isinstance(proxy, DerivedProxy):
        return f"made of {', '.join(proxy.parts)}, and not a sum over layers"
    return "scaled over a population"
