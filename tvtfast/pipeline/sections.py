"""What the report of a run shows of a stage: figures that the stage has left in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tvtfast.pipeline.finalists import TournamentResult
from tvtfast.pipeline.finalists.reporting import told
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.stages import GROWTH, SEARCH, TOURNAMENT
from tvtfast.report import StageSection, superformer_figure

_SEARCH_FIGURES = {
    "score_vs_params.png": "Score against parameters of the candidates",
    "trace.png": "Best and mean score in the course of the search",
}


def search_section(plan: Plan, text: str) -> StageSection:
    """Scores against parameters, the course of the search, and its own report.

    Args:
        plan: The run.
        text: What was searched, and by what.
    """
    return _section(plan, SEARCH, "Search", text, _SEARCH_FIGURES)


def growth_section(plan: Plan, text: str) -> StageSection:
    """The family, and its own report."""
    return _section(plan, GROWTH, "Growth", text, {"family.png": "Models of the family"})


def tournament_section(plan: Plan, found: TournamentResult) -> StageSection:
    """Held-out accuracy of every finalist rung by rung, and the tournament's own report."""
    text = (
        f"{len(found.finalists)} candidates, trained to epochs "
        f"{', '.join(map(str, found.rungs.epochs))}; the better half of a rung went on, by "
        f"held-out accuracy. {told(found)} The student won as {', '.join(found.winner.roles)}."
    )
    figures = {"tournament.png": "Held-out accuracy of every finalist at the end of every rung"}
    return _section(plan, TOURNAMENT, "Tournament", text, figures)


def superformer_section(text: str, history: Sequence[Mapping[str, float]]) -> StageSection:
    """The course of a superformer's training.

    Args:
        text: What was trained.
        history: Its epochs, with ``loss`` and ``accuracy``.
    """
    loss, accuracy = ([row[name] for row in history] for name in ("loss", "accuracy"))
    drawn = superformer_figure(loss, accuracy)
    return StageSection("Superformer", text, {"Loss and accuracy against epochs": drawn})


def _section(
    plan: Plan, stage: str, title: str, text: str, figures: dict[str, str]
) -> StageSection:
    folder: Path = plan.folder / stage
    pictures = {
        alt: (folder / name).read_bytes()
        for name, alt in figures.items()
        if (folder / name).exists()
    }
    return StageSection(title, text, pictures, f"{stage}/report.html")
