"""Columns that are made of other columns, candidate by candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvtfast.proxies import DerivedProxy
from tvtfast.scoring.identity import determined_by
from tvtfast.scoring.setup import Setup

if TYPE_CHECKING:
    import pandas as pd

_WITHOUT = "its parts have no value that it can be made of"


def check_derived(setup: Setup) -> None:
    """Refuse scores that are on another scale than what is made of them takes.

    Raises:
        ValueError: The message says what they depend on.
    """
    for proxy in setup.combined:
        if isinstance(proxy, DerivedProxy):
            proxy.refuse_other_scores(determined_by(setup))


def derive(
    proxy: DerivedProxy,
    frame: pd.DataFrame,
    features: pd.DataFrame,
    status: dict[str, list[str]],
    reasons: dict[str, list[str]],
) -> None:
    """Add the values of a derived proxy, and what has no value though its parts have.

    Args:
        proxy: The proxy.
        frame: The columns of its parts; gets its own.
        features: Closed-form features of the candidates.
        status: Per column; that of the proxy is there, after its parts.
        reasons: The same.
    """
    parts = {name: frame[name].to_numpy("float64") for name in proxy.parts}
    frame[proxy.name] = values = proxy.derive(parts, features)
    for row, value in enumerate(values):
        if value != value and status[proxy.name][row] in ("ok", "partial"):
            status[proxy.name][row], reasons[proxy.name][row] = "unsupported", _WITHOUT
