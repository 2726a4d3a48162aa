"""Scores of the neural tangent kernel as proxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from tvtfast.proxies.base import Proxy, ProxyInputs


def kernel_proxy(
    name: str, score: Callable[..., Tensor], *, higher_is_better: bool, description: str
) -> Proxy:
    """A score of the neural tangent kernel as a proxy; all weight draws of a candidate in one pass.

    Args:
        name: Its column.
        score: ``(module or modules, images, *, feature_fn) -> scalar or [modules]``.
        higher_is_better: Its direction.
        description: One line.
    """
    return Proxy(
        name,
        partial(_of_one, score),
        higher_is_better=higher_is_better,
        needs=frozenset({"weights", "images", "gradients"}),
        description=description,
        compute_draws=partial(_of_draws, score),
    )


def _of_one(score: Callable[..., Tensor], inputs: ProxyInputs) -> float:
    value: float = score(inputs.module, inputs.images, feature_fn=inputs.feature_fn).item()
    return value


def _of_draws(score: Callable[..., Tensor], draws: Sequence[ProxyInputs]) -> list[float]:
    values: list[float] = score(
        [inputs.module for inputs in draws], draws[0].images, feature_fn=draws[0].feature_fn
    ).tolist()
    return values
