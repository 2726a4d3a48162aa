"""What rankings were worth where accuracies are known, judged once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring.ranking import Method

FILE = Path(__file__).with_name("judged.csv")
"""Rows of `judged_rows`, written by ``python -m bench.ranking``."""
BENCHMARK = "ViT-Bench-101"

_INTERVALS = ("tau", "tau_over_params", "tau_given_params")
_COLUMNS = (
    *("space", "ranking", "settings", "truth", "n"),
    *(f"{name}{end}" for name in _INTERVALS for end in ("", "_low", "_high")),
)
_METHOD = "minmax_sum"
_COMBINED = {frozenset({"teacher_aware", "weight_norm"}): "tvt"}
"""Combinations by `_METHOD` that have a name of their own."""


@dataclass(frozen=True)
class Judged:
    """A ranking on one column of accuracies, higher is better; with 95 % bootstrap intervals.

    Args:
        truth: The column, such as ``c100_kd_acc``.
        n: Architectures.
        tau: Kendall's tau-b.
        tau_low: Lower end of its interval.
        tau_high: Upper end.
        tau_over_params: Tau less that of the parameter count, on the same resamples.
        tau_over_params_low: Lower end of its interval.
        tau_over_params_high: Upper end.
        tau_given_params: Kendall's partial tau with the parameter count held fixed; NaN where the
            ranking is that of the parameter count.
        tau_given_params_low: Lower end of its interval.
        tau_given_params_high: Upper end.
    """

    truth: str
    n: int
    tau: float
    tau_low: float
    tau_high: float
    tau_over_params: float
    tau_over_params_low: float
    tau_over_params_high: float
    tau_given_params: float
    tau_given_params_low: float
    tau_given_params_high: float

    @property
    def params_tau(self) -> float:
        """Kendall's tau-b of the parameter count."""
        return self.tau - self.tau_over_params

    def __str__(self) -> str:
        return f"{self.truth} {self.tau:+.2f} against {self.params_tau:+.2f}"


class SizeRanksBetterWarning(UserWarning):
    """The parameter count is known to rank better than what is ranked by."""


@dataclass(frozen=True)
class Judgement:
    """What a ranking is worth on architectures of the same space whose accuracies are known.

    Args:
        space: Name of the space.
        ranking: The proxy, or the name of the combination.
        settings: Images and weight draws that it was judged with.
        columns: One per column of accuracies.
    """

    space: str
    ranking: str
    settings: str
    columns: tuple[Judged, ...]

    @property
    def below_params(self) -> tuple[Judged, ...]:
        """Where the parameter count ranks better."""
        return tuple(one for one in self.columns if one.tau_over_params < 0)

    @property
    def warning(self) -> str:
        """Where the parameter count ranks better, and what the ranking adds to it, in a few
        sentences; empty where it is nowhere better."""
        below = self.below_params
        if not below:
            return ""
        clear = [one for one in below if one.tau_over_params_high < 0]
        adds = [one.truth for one in self.columns if one.tau_given_params_low > 0]
        certain = "none" if not clear else "all" if len(clear) == len(below) else str(len(clear))
        return (
            f"SIZE RANKS BETTER on {len(below)} of {len(self.columns)} accuracies of {BENCHMARK} "
            f"({self.columns[0].n} {self.space} architectures, {self.settings}), beyond chance on "
            f"{certain} of them. Kendall's tau of {self.ranking} against that of the parameter "
            f"count: {', '.join(map(str, below))}. At equal parameter count {self.ranking} still "
            f"ranks on {', '.join(adds) or 'none of them'}. The proxy params ranks "
            "by size alone; docs/trust.md says more"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values, but for NaN."""
        return {
            **{"benchmark": BENCHMARK, "space": self.space, "ranking": self.ranking},
            "settings": self.settings,
            "columns": [{**asdict(one), "params_tau": one.params_tau} for one in self.columns],
            "below_params": [one.truth for one in self.below_params],
        }


def judgement(
    space: str, proxies: Sequence[str], method: Method = "minmax_sum"
) -> Judgement | None:
    """What a ranking is worth on ViT-Bench-101; ``None`` where nobody has judged it.

    Judged are most proxies alone, and TVT's combination, in ``autoformer-tiny`` and ``pit``, with
    weights that are drawn.

    Args:
        space: Name of a space.
        proxies: What is ranked by, such as `tvtfast.ScoreTable.scored`.
        method: How they are combined, see `tvtfast.rank`.
    """
    names = frozenset(proxies)
    if not isinstance(method, str) or (len(names) > 1 and method != _METHOD):
        return None
    ranking = _COMBINED.get(names) if len(names) > 1 else next(iter(names), None)
    rows = _known().get((space, ranking or ""), ())
    if not rows:
        return None
    found = tuple(Judged(**{name: row[name] for name in Judged.__annotations__}) for row in rows)
    return Judgement(space, str(ranking), rows[0]["settings"], found)


def judged_rows(correlations: pd.DataFrame, space: str, settings: str) -> pd.DataFrame:
    """Rows of `FILE`: scores that have a coefficient.

    Args:
        correlations: As `tvtfast.correlate` gives them.
        space: Name of the space.
        settings: What was scored, in a few words.
    """
    known = correlations[(correlations["kind"] == "score") & (correlations["reason"] == "")]
    named = known.rename(columns={"proxy": "ranking"}).assign(space=space, settings=settings)
    return named[list(_COLUMNS)]


@cache
def _known() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows of `FILE` by space and ranking; of several studies the first counts."""
    import pandas as pd

    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in pd.read_csv(FILE).to_dict("records"):
        rows = found.setdefault((row["space"], row["ranking"]), [])
        if not rows or rows[0]["settings"] == row["settings"]:
            rows.append({str(name): value for name, value in row.items()})
    return found
