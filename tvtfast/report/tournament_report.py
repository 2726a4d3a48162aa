"""The HTML report of a tournament."""

from __future__ import annotations

import os
from pathlib import Path

from tvtfast.report.figures.tournament import tournament_figure
from tvtfast.report.html import picture, render
from tvtfast.report.pages import write_page
from tvtfast.report.run_content import comparison
from tvtfast.report.tournament_content import TournamentReport


def write_tournament_report(report: TournamentReport, folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html``, a page that needs nothing else, and its figure ``tournament.png``.

    With ``plotly.min.js``, which is put beside the page, the figure zooms.

    Args:
        report: What to print.
        folder: Where to write; made where needed. Earlier files in it are replaced as a whole, or
            kept when writing fails.

    Returns:
        Path of ``report.html``.

    Raises:
        ValueError: Nobody ended a rung.
    """
    drawn = picture(tournament_figure(report.entrants, report.epochs))
    winner, *others = report.networks
    page = render(
        "tournament.html.j2",
        report=report,
        drawn=drawn,
        winner=winner,
        comparisons=[comparison(winner, one, report.test_images) for one in others],
    )
    return write_page(folder, "report.html", page, {"tournament": drawn})
