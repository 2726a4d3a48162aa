"""The HTML report of a family of models that grew from one topology."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.report.architecture import compact
from tvtfast.report.figures.growth import growth_figure
from tvtfast.report.html import picture, render
from tvtfast.report.pages import write_page

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PickedModel:
    """The model of a family that was picked for a parameter count.

    Attributes:
        target_params: The parameter count that was asked for.
        params: Parameters of the model.
        flops: Floating-point operations of one image.
        deviation: Parameters over target, minus 1.
        reason: Why the target is not met; ``None`` where it is.
        accuracy: Top-1 accuracy after training, in percent; ``None`` where it was not trained.
        epochs: Of its training.
        training_seconds: Of its training.
        student: Its folder, relative to the page.
    """

    target_params: float
    params: int
    flops: int
    deviation: float
    reason: str | None
    accuracy: float | None = None
    epochs: int | None = None
    training_seconds: float | None = None
    student: str | None = None


@dataclass(frozen=True, eq=False)
class GrowthReport:
    """Everything the report of a family prints.

    Attributes:
        title: Heading of the report.
        models: One row per model, smallest first: ``step``, ``target_params`` (NaN where the step
            was not refined for one), ``arch``, ``depths``, ``width``, ``params``, ``flops``, every
            proxy and ``rank_sum``.
        higher_is_better: The proxies, and their direction.
        candidates: Candidates of all steps.
        picks: Models that were picked.
        settings: What was run.
        machine: Versions, processor, load.
        seconds: That growth took.
        evaluated: Candidates that were scored in that time.
        command: How to grow the family again.
        cost: Wall time, core or GPU hours, peak memory and time per candidate, in words.
    """

    title: str
    models: pd.DataFrame
    higher_is_better: Mapping[str, bool]
    candidates: int
    picks: tuple[PickedModel, ...]
    settings: Mapping[str, Any]
    machine: Mapping[str, str]
    seconds: float
    evaluated: int
    command: str
    cost: Mapping[str, str] = field(default_factory=dict)

    @property
    def trained(self) -> bool:
        """Whether any model was."""
        return any(one.accuracy is not None for one in self.picks)


def write_growth_report(report: GrowthReport, folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html``, a page that needs nothing else, and its figure ``family.png``.

    With ``plotly.min.js``, which is put beside the page, the figure zooms.

    Args:
        report: What to print.
        folder: Where to write; made where needed. Earlier files in it are replaced as a whole, or
            kept when writing fails.

    Returns:
        Path of ``report.html``.

    Raises:
        ValueError: No models.
    """
    drawn = picture(growth_figure(report.models, report.higher_is_better))
    page = render(
        "growth.html.j2",
        report=report,
        figure_of_family=drawn,
        rows=[
            {
                **row,
                "arch": compact(row["arch"]),
                "proxies": [row[p] for p in report.higher_is_better],
            }
            for row in report.models.to_dict("records")
        ],
        settings={name: _shown(value) for name, value in report.settings.items()},
    )
    return write_page(folder, "report.html", page, {"family": drawn})


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else str(value)
