"""Judge proxies by how they rank candidates of known accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.common import checks
from tvtfast.common.accuracies import is_accuracy
from tvtfast.common.fallbacks import logger
from tvtfast.data.truth_file import ARCH
from tvtfast.scoring.judging import COLUMNS, Judge
from tvtfast.spaces import COUNTS

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.table import ScoreTable


def correlate(
    table: ScoreTable,
    truth: pd.DataFrame | pd.Series[float] | Mapping[str, Sequence[float]],
    *,
    confidence: float = 0.95,
    n_resamples: int = 500,
    seed: int = 0,
    top_k: int = 10,
) -> pd.DataFrame:
    """Judge every proxy by measured accuracy: how well it ranks, what it adds once the size is held
    fixed, what choosing by it gains inside a budget, and what it costs.

    Parameter count, FLOPs, and depth, width and their like (`ScoreTable.features`) have rows of
    their own: the baselines that cost nothing. Multiply-adds rank as FLOPs do, and have rows only
    where they were asked for.

    Args:
        table: Scores of a population.
        truth: One column per accuracy, higher is better; NaN where a candidate was not trained.
            Rows in the order of the table; or a frame with a column ``arch`` of canonical JSON, as
            `tvtfast.load_truth` and `tvtfast.collect_truth` give it, whose rows are found by
            architecture, and whose columns of truth are those that end in ``acc`` or ``accuracy``,
            or all of numbers where there is none.
        confidence: Coverage of the intervals.
        n_resamples: Bootstrap resamples of the candidates; all pairs of columns with as many
            values share them.
        seed: Seed of the resamples.
        top_k: How many best candidates ``precision`` is about.

    Returns:
        One row per proxy and accuracy: ``proxy``, ``truth``, ``kind`` (``score``, ``count`` or
        ``feature``), ``n``, ``fitted`` (how many of these the proxy was itself fitted on, see
        `tvtfast.ScoreTable.fitted_on`; the log warns where there are any), and

        - Kendall's tau-b (``tau``), Spearman's ``rho`` and Pearson's ``r``, and Kendall's partial
          tau given the parameter count (``tau_given_params``), and given that and the number of
          blocks (``tau_given_params_depth``, see `tvtfast.scoring.partial.partial_tau`);
        - ``tau_over_params``: tau less that of the parameter count, with the interval of the
          difference: both are taken on the same resamples;
        - ``gain``: accuracy of the best score among the candidates with 85 to 100 % of a limit in
          parameters, less their mean; mean over ``windows``, one per candidate's parameter count
          with at least five candidates. ``gain_share``: the same as a share of what was possible.
          These and the coefficients have percentile bootstrap intervals (``tau_low``,
          ``tau_high``, ...), with the windows as they are;
        - ``precision``: share of the ``precision_k`` truly best among as many best by score, which
          is ``precision_k / n`` by chance;
        - ``seconds``: what a candidate cost, over all weight draws; proxies that read the same
          forward pass share its time;
        - ``draw_tau``: tau-b between the scores of two weight draws, mean over all pairs of
          ``draws``.

        ``reason`` says why a row has no coefficient, ``<column>_reason`` the same of the others,
        and is empty where there is one. Signs are such that positive means the proxy ranks well:
        proxies where lower is better are negated. Candidates with a missing value are left out of
        ``n``, value and interval; fewer than three, or no variation among them, leave NaN.

    Raises:
        ValueError: ``truth`` has another number of rows than the table, an architecture that is no
            candidate or comes twice, no column, or one that holds text or an infinite value.
    """
    import pandas as pd

    values = table.to_pandas()
    fitted = {name: values[ARCH].isin(archs).to_numpy() for name, archs in table.fitted_on.items()}
    measured = _measured(values, truth)
    checks.whole("top_k", top_k, least=1)
    if not 0 < confidence < 1 or n_resamples < 1:
        raise ValueError(
            f"confidence={confidence}, n_resamples={n_resamples}; give a confidence between 0 and "
            "1 and at least one resample"
        )
    features = {str(name): table.features[name].to_numpy() for name in table.features}
    sizes = {name: table[name] for name in ("params",) if name in table.higher_is_better}
    sizes |= {name: features[name] for name in ("depth",) if name in features}
    judge = Judge(sizes, confidence, n_resamples, seed, top_k)
    rows = []
    for proxy, higher in table.higher_is_better.items():
        if proxy == "macs" and proxy not in table.scored:
            continue
        scores = table[proxy] * (1.0 if higher else -1.0)
        of_proxy = {
            "kind": "count" if proxy in COUNTS else "score",
            **judge.cost(table.seconds.get(proxy)),
            **judge.draws(table.draws.get(proxy), several=bool(table.draws)),
        }
        rows += [
            {
                **{"proxy": proxy, "truth": column, **of_proxy},
                **judge.row(proxy, scores, column, y, fitted.get(proxy)),
            }
            for column, y in measured.items()
        ]
    closed = {"kind": "feature", **judge.cost(None, closed=True)}
    closed |= judge.draws(None, several=True)
    rows += [
        {"proxy": name, "truth": column, **closed, **judge.row(name, feature, column, y)}
        for name, feature in features.items()
        if name not in table.higher_is_better
        for column, y in measured.items()
    ]
    found = pd.DataFrame(rows, columns=COLUMNS)
    warning = _fitted_warning(found)
    if warning:
        logger.warning(warning)
    return found


def _fitted_warning(correlations: pd.DataFrame) -> str:
    """Which proxies are judged by what they were fitted on; empty where none is."""
    most = correlations.groupby("proxy", sort=False)[["fitted", "n"]].max()
    told = [f"{name} on {row.fitted} of {row.n}" for name, row in most.iterrows() if row.fitted]
    if not told:
        return ""
    return (
        f"JUDGED BY WHAT IT WAS FITTED ON: {', '.join(told)} architectures; on others it ranks "
        "worse than these figures say. Leave the rows it was fitted on out of the truth"
    )


def _measured(
    values: pd.DataFrame, truth: pd.DataFrame | pd.Series[float] | Mapping[str, Sequence[float]]
) -> dict[str, npt.NDArray[np.float64]]:
    """The columns of truth by name, in the order of the table."""
    import pandas as pd

    frame = truth.to_frame() if isinstance(truth, pd.Series) else pd.DataFrame(truth)
    if ARCH in frame.columns:
        frame = _by_architecture(values[ARCH], frame)
    if len(frame) != len(values) or not len(frame.columns):
        raise ValueError(
            f"truth has {len(frame)} rows and {len(frame.columns)} columns for a table of "
            f"{len(values)} candidates; give one row per candidate, in the same order"
        )
    return {str(column): _numbers(str(column), frame[column]) for column in frame.columns}


def _by_architecture(candidates: pd.Series[Any], truth: pd.DataFrame) -> pd.DataFrame:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    given = truth[ARCH]
    known = set(candidates)
    for row, arch in enumerate(given):
        if not isinstance(arch, str) or arch not in known:
            raise ValueError(
                f"truth row {row}: {ARCH} is {str(arch)[:80]!r}, which is no candidate of the "
                "table; give canonical JSON (space.encode), and only rows of candidates that were "
                "scored"
            )
    if given.duplicated().any():
        row = int(given.duplicated().to_numpy().argmax())
        raise ValueError(f"truth row {row} has an architecture of an earlier row; give one each")
    columns = [name for name in truth.columns if name != ARCH]
    chosen = [name for name in columns if is_accuracy(str(name))] or [
        name for name in columns if is_numeric_dtype(truth[name]) and not is_bool_dtype(truth[name])
    ]
    aligned: pd.DataFrame = truth.set_index(ARCH)[chosen].reindex(candidates)
    return aligned


def _numbers(column: str, cells: pd.Series[Any]) -> npt.NDArray[np.float64]:
    import pandas as pd

    try:
        numbers: npt.NDArray[np.float64] = pd.to_numeric(cells).to_numpy("float64", na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f"truth column {column!r} holds no numbers ({error})") from None
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise ValueError(
            f"truth column {column!r} is infinite in row {row}; give a number, or NaN where it was "
            "not measured"
        )
    return numbers
