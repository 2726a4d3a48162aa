"""Why values of a correlation study are missing, each reason once."""

from __future__ import annotations

import pandas as pd

REASONED = (
    *("tau_given_params", "tau_given_params_depth", "tau_over_params"),
    *("gain", "precision", "seconds", "draw_tau"),
)
"""Columns that can be missing where the coefficients are not; ``<name>_reason`` says why."""


def missing_values(correlations: pd.DataFrame) -> list[str]:
    """One line per column and reason, with the proxies and accuracies that it holds for.

    Args:
        correlations: One row per proxy and truth column, as `tvtfast.correlate` gives them.
    """
    undefined = correlations[correlations["reason"] != ""]
    told = [
        f"no value of {row['proxy']} and {row['truth']}: {row['reason']}"
        for _, row in undefined.iterrows()
    ]
    defined = correlations[correlations["reason"] == ""]
    everywhere = set(defined["truth"])
    for name in REASONED:
        found: dict[str, list[tuple[str, str]]] = {}
        for proxy, truth, why in defined[["proxy", "truth", f"{name}_reason"]].itertuples(
            index=False
        ):
            if why:
                found.setdefault(str(why), []).append((str(proxy), str(truth)))
        for why, cells in found.items():
            proxies, truths = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
            where = "" if set(truths) == everywhere else f" on {', '.join(truths)}"
            told.append(f"no {name} of {', '.join(proxies)}{where}: {why}")
    return told
