"""The HTML report of a whole run: teacher, search, students."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tvtfast.report.architecture import arch_view
from tvtfast.report.figures.attention import attention_maps_figure
from tvtfast.report.figures.training import accuracy_figure
from tvtfast.report.html import Picture, kept_picture, photo, picture, render
from tvtfast.report.pages import write_page
from tvtfast.report.run_content import RunReport, comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_run_report(report: RunReport, folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html``, one page that needs nothing but the stages' own reports it links to,
    with ``accuracy.png`` and, where there are maps, ``attention_maps.png``. With ``plotly.min.js``
    beside it, its figures zoom.

    Args:
        report: What to print.
        folder: Where to write; made where needed. Earlier files in it are replaced as a whole, or
            kept when writing fails.

    Returns:
        Path of ``report.html``.
    """
    pictures = {"accuracy": picture(accuracy_figure(report.networks))}
    if report.attention is not None:
        pictures["attention_maps"] = photo(attention_maps_figure(report.attention))
    page = render(
        "run.html.j2",
        report=report,
        pictures=pictures,
        sections=[
            (one, {alt: _picture(given) for alt, given in one.pictures.items()})
            for one in report.sections
        ],
        arch=arch_view(report.arch),
        comparisons=[comparison(report.student, n, report.test_images) for n in report.others],
        total=sum(report.stages.values()),
    )
    return write_page(folder, "report.html", page, pictures)


def _picture(given: bytes | Figure) -> Picture:
    return kept_picture(given) if isinstance(given, bytes) else picture(given)
