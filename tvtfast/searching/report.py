"""From the result of a search to its report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.files import CONFIG
from tvtfast.common.forecast import outcome
from tvtfast.common.machine import machine, versions
from tvtfast.report import (
    AttentionPanel,
    RaceTable,
    SearchReport,
    cost_facts,
    forecast_facts,
    write_search_report,
)
from tvtfast.scoring.race import CONFIDENCE, RaceSummary
from tvtfast.scoring.scorer import Scorer

if TYPE_CHECKING:
    from tvtfast.data import FrozenBatch
    from tvtfast.models import SpatialFeatures
    from tvtfast.scoring.table import ScoreTable
    from tvtfast.searching.result import SearchResult

_PANEL_IMAGES = 6


def report_search(
    result: SearchResult, scorer: Scorer, settings: Mapping[str, Any], folder: Path
) -> Path:
    """Write ``report.html`` and its figures into the run folder; returns the page."""
    return write_search_report(
        SearchReport(
            title=f"Search of {result.space.name}",
            frame=result.table.to_pandas()[["arch", *result.table.higher_is_better]],
            status=result.table.status,
            score=result.scores,
            higher_is_better=result.table.higher_is_better,
            settings={name: shown(value) for name, value in settings.items()}
            | _outside(result.table)
            | _alone(result.table),
            timings=result.timings,
            machine=versions() | machine(),
            cost=cost_facts(result.cost, len(result.table))
            | forecast_facts(outcome(folder, "search", len(result.table), result.cost)),
            attention=_searched(result, scorer),
            command=_command(folder, settings),
            race=_race_table(result.table.race),
            answer=None if result.answer is None else result.best_row,
            objectives=result.objectives,
            front=result.front,
            trace=result.trace,
            policy=result.tables.get("policy"),
            warning="" if result.judgement is None else result.judgement.warning,
        ),
        folder,
    )


def _outside(table: ScoreTable) -> dict[str, str]:
    if not table.constraints:
        return {}
    outside = int((table.violations > 0).sum())
    return {"outside the constraints": f"{outside:,} of {len(table):,} candidates"}


def _alone(table: ScoreTable) -> dict[str, str]:
    if len(table) > 1:
        return {}
    return {"compared with": "no other candidate: the only one that was scored is the best"}


def _race_table(race: RaceSummary | None) -> RaceTable | None:
    if race is None:
        return None
    return RaceTable(
        rungs=tuple((rung.images, rung.candidates) for rung in race.rungs),
        images=race.images,
        share=race.share,
        top_k=race.top_k,
        confidence=CONFIDENCE,
    )


def attention_panel(batch: FrozenBatch, networks: Mapping[str, SpatialFeatures]) -> AttentionPanel:
    """The first images of a batch with the attention maps of some features of all its images."""
    pixels = batch.images[:_PANEL_IMAGES].float()
    if batch.normalization is not None:
        mean, std = (
            pixels.new_tensor(values).view(3, 1, 1)
            for values in (batch.normalization.mean, batch.normalization.std)
        )
        pixels = pixels * std + mean
    else:
        low, high = pixels.amin((1, 2, 3), keepdim=True), pixels.amax((1, 2, 3), keepdim=True)
        pixels = (pixels - low) / (high - low).clamp_min(1e-12)
    labels = [None] * len(pixels) if batch.labels is None else batch.labels.tolist()
    return AttentionPanel(
        images=pixels.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy(),
        labels=tuple("" if label is None else f"class {label}" for label in labels[: len(pixels)]),
        maps={name: _maps(features) for name, features in networks.items()},
    )


def _searched(result: SearchResult, scorer: Scorer) -> AttentionPanel | None:
    batch, teacher = scorer.setup.batch, scorer.teacher_features
    given = scorer.setup.teacher
    if batch is None or teacher is None or given is None or not result.order:
        return None
    return attention_panel(
        batch,
        {
            f"teacher: {given.name}": teacher,
            "student: best candidate, untrained": scorer.features(result.best),
        },
    )


def _maps(features: SpatialFeatures) -> Any:
    maps = features.attention_map()[:_PANEL_IMAGES].unflatten(-1, features.size)
    return maps.detach().float().cpu().numpy()


def shown(value: Any) -> str:
    """A setting as a reader wants it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={shown(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value)) or "none"
    return "none" if value is None else str(value)


def _command(folder: Path, settings: Mapping[str, Any]) -> str:
    if (folder / CONFIG).exists():
        return f"tvtfast search --cfg {shlex.quote(str(folder / CONFIG))}"
    return (
        f"tvtfast.search({settings['space']!r}, strategy={settings['strategy']!r}, "
        f"trials={settings['trials']}, seed={settings['seed']}, run_dir={str(folder)!r}, ...)"
    )
