"""From the end of a tournament to its report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvtfast.common.files import write_csv
from tvtfast.common.machine import machine, versions
from tvtfast.distill import TrainedStudent
from tvtfast.pipeline.finalists.choosing import DEFAULT, Finalist
from tvtfast.pipeline.finalists.record import Course
from tvtfast.pipeline.finalists.result import TournamentResult
from tvtfast.report import (
    Entrant,
    TournamentReport,
    TrainedNetwork,
    cost_facts,
    write_tournament_report,
)
from tvtfast.searching.report import shown

COMPARISON = "comparison.csv"


def report_tournament(
    found: TournamentResult, settings: Mapping[str, Any], test_images: int
) -> Path:
    """Write ``comparison.csv``, ``tournament.png`` and ``report.html``; returns the page."""
    write_csv(found.folder / COMPARISON, found.comparison)
    entrants = tuple(
        Entrant(
            name=one.name,
            roles=one.roles,
            params=one.params,
            flops=one.flops,
            accuracies=found.courses.get(one.name, Course()).accuracies,
            rungs=found.played[one.name],
            seconds=found.courses.get(one.name, Course()).seconds,
            failed=found.courses.get(one.name, Course()).failed,
            won=one.name == found.winner.name,
        )
        for one in found.finalists
    )
    return write_tournament_report(
        TournamentReport(
            title=f"A tournament of {len(found.finalists)} finalists on "
            f"{found.student.student.card.dataset}",
            entrants=entrants,
            epochs=found.rungs.epochs,
            networks=networks(found),
            test_images=test_images,
            told=told(found),
            notes=found.notes,
            total_epochs=sum(
                found.rungs.epochs[len(one.accuracies) - 1] for one in entrants if one.accuracies
            ),
            settings={name: shown(value) for name, value in settings.items()},
            machine=versions() | machine(),
            cost=cost_facts(found.cost),
        ),
        found.folder,
    )


def networks(found: TournamentResult) -> tuple[TrainedNetwork, ...]:
    """The winner and what it is held against, as reports take them."""
    winner = _network(found.winner, found.student, f"winner ({_why(found.winner)})")
    others = (
        _network(one, found.compared[one.name], _why(one))
        for one in found.finalists
        if one.name in found.compared
    )
    return (winner, *others)


def told(found: TournamentResult) -> str:
    """What the first rung told, in a sentence."""
    learnt = found.calibration
    if learnt is None:
        return "The first rung told nothing that candidates could be proposed by."
    did = "changed" if learnt.changed else "is too little to change"
    return (
        f"What {len(learnt.trained)} candidates reached in the first rung {did} the ranking of "
        f"{learnt.prior} (which alone has weight {learnt.prior_alone:.2f})."
    )


def _why(one: Finalist) -> str:
    named = {DEFAULT: "DeiT-like ViT", "params": "most parameters", "score": "best score"}
    others = "best {}" if one.compared else "{}"
    return ", ".join(named.get(role, others.format(role)) for role in one.roles)


def _network(one: Finalist, trained: TrainedStudent, name: str) -> TrainedNetwork:
    held_out = trained.held_out_accuracy
    return TrainedNetwork(
        name=name,
        training="rungs of a tournament",
        params=one.params,
        flops=one.flops,
        accuracy=trained.accuracy,
        held_out_accuracy=math.nan if held_out is None else held_out,
        seconds=math.fsum(row["seconds"] for row in trained.history),
        curve=tuple(row["accuracy"] for row in trained.history if "accuracy" in row),
    )
