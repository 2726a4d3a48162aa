"""What a family leaves in its folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.files import CONFIG, write_csv, write_json
from tvtfast.common.machine import machine, versions
from tvtfast.common.run_folder import cost_of, read_record
from tvtfast.proxies import BASELINES
from tvtfast.report import GrowthReport, PickedModel, cost_facts, write_growth_report

if TYPE_CHECKING:
    from tvtfast.growing.family import Family

TABLE = "growth.csv"
"""Name of the file with every candidate of every step."""
FAMILY = "family.csv"
PICKED = "picked.json"
MODELS = "models"


def write_family(
    family: Family, folder: Path, trained: Mapping[float, Mapping[str, Any]] | None = None
) -> Path:
    """Write the models, those picked, and the report; what an earlier family left goes.

    Args:
        family: The models.
        folder: Of the run; its record says what the report prints as settings.
        trained: By target what is known of the trained model, such as ``accuracy`` (percent),
            ``epochs``, ``seconds`` and ``student`` (folder); it stands in ``picked.json`` and in
            the report.

    Returns:
        The report.
    """
    known = trained or {}
    table = family.to_pandas()
    models = table[table["chosen"]].drop(columns="chosen").sort_values("params", kind="stable")
    write_csv(folder / FAMILY, models)
    (folder / MODELS).mkdir(exist_ok=True)
    described = {_name(step): family.describe(step.model) for step in family.steps}
    for stale in {path.name for path in (folder / MODELS).iterdir()} - described.keys():
        (folder / MODELS / stale).unlink()
    for name, content in described.items():
        write_json(folder / MODELS / name, content)
    picked = [
        family.describe_pick(pick) | dict(known.get(pick.target_params, {}))
        for pick in family.picks
    ]
    (folder / PICKED).unlink(missing_ok=True)
    if picked:
        write_json(folder / PICKED, picked)
    record = read_record(folder) or {"settings": {}}
    report = GrowthReport(
        title=f"Family of {family.space.name}",
        models=models,
        higher_is_better={column(name): higher for name, higher in family.higher_is_better.items()},
        candidates=len(table),
        picks=tuple(_picked(entry) for entry in picked),
        settings=record["settings"],
        machine=versions() | machine(),
        seconds=family.seconds,
        evaluated=family.evaluated,
        command=_command(folder),
        cost=cost_facts(cost_of(record), len(table)),
    )
    return write_growth_report(report, folder)


def column(proxy: str) -> str:
    """Name of a proxy's column. Parameters and FLOPs are columns of the model already."""
    return f"scored_{proxy}" if proxy in BASELINES else proxy


def _name(step: Any) -> str:
    if step.target is None:
        return f"step-{step.number:03d}.json"
    return f"target-{step.target:.0f}.json"


def _picked(entry: Mapping[str, Any]) -> PickedModel:
    return PickedModel(
        **{
            name: entry[name]
            for name in ("target_params", "params", "flops", "deviation", "reason")
        },
        **{name: entry[name] for name in ("accuracy", "epochs", "student") if name in entry},
        training_seconds=entry.get("seconds"),
    )


def _command(folder: Path) -> str:
    if (folder / CONFIG).exists():
        return f"tvtfast grow --cfg {shlex.quote(str(folder / CONFIG))}"
    return f"tvtfast.grow(..., output_dir={str(folder)!r})"
