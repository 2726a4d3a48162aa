"""What a run cost, as a command tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvtfast.cli.output import wrapped
from tvtfast.common.cost import Cost
from tvtfast.common.run_folder import cost_of, read_record


def cost_in(folder: Path) -> Cost:
    """What the run of a folder has cost over all its starts."""
    return cost_of(read_record(folder))


def cost_line(cost: Cost, candidates: int | None = None) -> list[str]:
    """Wall time, hours, memory and time per candidate in one line; none where nothing was
    measured."""
    from tvtfast.report import cost_facts

    facts = cost_facts(cost, candidates)
    text = "; ".join(f"{name} {value}" for name, value in facts.items())
    return (
        [wrapped(f"cost: {text}".replace("\N{NO-BREAK SPACE}", " "), indent="  ")] if facts else []
    )


def forecast_line(folder: Path) -> list[str]:
    """What was forecast of the run of a folder, and how far off that was; none where nothing was
    said."""
    from tvtfast.report import forecast_facts

    record = read_record(folder)
    facts = forecast_facts(None if record is None else record.get("forecast"))
    text = "; ".join(f"{name} {value}" for name, value in facts.items())
    return [wrapped(text.replace("\N{NO-BREAK SPACE}", " "), indent="  ")] if facts else []


def cost_data(cost: Cost, candidates: int | None = None) -> dict[str, Any] | None:
    """The same as plain values; nothing where nothing was measured."""
    return cost.to_dict(candidates) if cost.starts else None
