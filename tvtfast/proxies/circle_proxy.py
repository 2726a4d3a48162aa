"""Scores of the image of a circle of inputs as proxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from tvtfast.proxies.base import Proxy, ProxyInputs


def circle_proxy(name: str, measure: Callable[..., Tensor], *, description: str) -> Proxy:
    """A score of the image of a circle as a proxy; all weight draws of a candidate in one pass.

    Args:
        name: Its column.
        measure: ``(modules, *, img_size, seed, feature_fn) -> [modules]``.
        description: One line.
    """
    return Proxy(
        name,
        partial(_compute, measure),
        needs=frozenset({"weights"}),
        description=description,
        compute_draws=partial(_compute_draws, measure),
    )


def _compute_draws(measure: Callable[..., Tensor], draws: Sequence[ProxyInputs]) -> list[float]:
    values: list[float] = measure(
        [inputs.module for inputs in draws],
        img_size=draws[0].img_size,
        seed=[inputs.seed for inputs in draws],
        feature_fn=draws[0].feature_fn,
    ).tolist()
    return values


def _compute(measure: Callable[..., Tensor], inputs: ProxyInputs) -> float:
    return _compute_draws(measure, [inputs])[0]
