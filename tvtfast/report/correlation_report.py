"""The HTML report of a correlation study: do proxies rank candidates as training does?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tvtfast.report.baselines import baselines, ordered_proxies, size_warning, verdicts
from tvtfast.report.content import check_candidates
from tvtfast.report.figures.correlation import correlation_scatter_figure, tau_figure
from tvtfast.report.figures.window_gain import window_gain_figure
from tvtfast.report.html import picture, render
from tvtfast.report.missing import REASONED, missing_values
from tvtfast.report.pages import write_page

_COEFFICIENTS = (
    *("tau", "tau_over_params", "tau_given_params", "tau_given_params_depth"),
    *("rho", "r"),
)
_JUDGED = ("windows", "precision", "precision_k")
_COST = ("seconds", "draws", "draw_tau")
_COLUMNS = (
    *("proxy", "truth", "kind", "n", "fitted"),
    *(
        f"{name}{end}"
        for name in (*_COEFFICIENTS, "gain", "gain_share")
        for end in ("", "_low", "_high")
    ),
    *_JUDGED,
    *_COST,
    *("reason", *(f"{name}_reason" for name in REASONED)),
)


def write_correlation_report(
    folder: str | os.PathLike[str],
    frame: pd.DataFrame,
    truth: pd.DataFrame,
    correlations: pd.DataFrame,
    title: str,
    settings: Mapping[str, str],
) -> Path:
    """Write ``correlation.html``, a page that needs nothing else, with ``scatter.png``, ``tau.png``
    and ``gain.png``. With ``plotly.min.js`` beside it, its figures zoom.

    Counts, features and ``weight_norm`` are baselines: drawn and tabulated apart, and what the best
    proxy is held against.

    Args:
        folder: Where to write; made where needed. Earlier files in it are replaced as a whole, or
            kept when writing fails.
        frame: One row per candidate, one float column per proxy, at least those that are no
            features.
        truth: Accuracy columns in percent, or other columns, same index; NaN where a candidate was
            not trained.
        correlations: One row per proxy and truth column, as `tvtfast.correlate` gives them.
        title: Heading of the page.
        settings: What was measured (data, protocol, seeds, ...).

    Returns:
        Path of ``correlation.html``.

    Raises:
        ValueError: No candidates, no correlations, missing columns, or different indices.
    """
    _check(frame, truth, correlations)
    pictures = {
        "scatter": picture(correlation_scatter_figure(frame, truth, correlations)),
        "tau": picture(tau_figure(correlations)),
        "gain": picture(window_gain_figure(correlations)),
    }
    page = render(
        "correlation.html.j2",
        title=title,
        settings=settings,
        pictures=pictures,
        count=len(frame),
        proxies=ordered_proxies(correlations),
        baselines=baselines(correlations),
        warning=size_warning(correlations),
        costs=correlations.drop_duplicates("proxy").to_dict("records"),
        missing=missing_values(correlations),
        known={
            str(name): int(truth[name].notna().sum()) for name in correlations["truth"].unique()
        },
        verdicts=verdicts(correlations),
        rows=correlations.to_dict("records"),
    )
    return write_page(folder, "correlation.html", page, pictures)


def _check(frame: pd.DataFrame, truth: pd.DataFrame, correlations: pd.DataFrame) -> None:
    if correlations.empty:
        raise ValueError("correlations has no rows; give one per proxy and truth column")
    missing = [column for column in _COLUMNS if column not in correlations.columns]
    if missing:
        raise ValueError(
            f"correlations has columns {list(correlations.columns)}; add the missing {missing}"
        )
    scored = correlations.loc[correlations["kind"] != "feature", "proxy"]
    check_candidates(frame, tuple(scored.unique()))
    if not truth.index.equals(frame.index):
        raise ValueError(
            f"truth has {len(truth)} rows whose index differs from that of the {len(frame)} "
            "candidates; reindex it to frame.index"
        )
    unknown = [name for name in correlations["truth"].unique() if name not in truth.columns]
    if unknown:
        raise ValueError(
            f"correlations names the accuracies {unknown}, truth has {list(truth.columns)}; "
            "correlate only columns of truth"
        )
