"""What a run cost, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvtfast.common.cost import Cost
from tvtfast.report.formatting import count, duration


def forecast_facts(said: Mapping[str, Any] | None) -> dict[str, str]:
    """What was forecast and how far off that was, by name; nothing where nothing was said.

    Args:
        said: See `tvtfast.common.forecast.outcome`.
    """
    if said is None:
        return {}
    low, high = duration(said["low"]), duration(said["high"])
    return {
        "forecast": f"{duration(said['seconds'])} ({low} to {high}), {said['error']:+.0%} of what "
        "it took"
    }


def cost_facts(cost: Cost, candidates: int | None = None) -> dict[str, str]:
    """Wall time, core or GPU hours, peak memory and time per candidate, by name.

    Args:
        cost: What was spent; of a run that measured nothing, there are no facts.
        candidates: How many were compared, where that is what was done.
    """
    if not cost.starts:
        return {}
    starts = "" if cost.starts == 1 else f", added up over {cost.starts} starts"
    facts = {"wall time": duration(cost.wall_seconds) + starts}
    processes = "" if cost.processes == 1 else f" x {cost.processes} processes"
    if cost.gpu_hours:
        facts["GPU hours"] = f"{cost.gpu_hours:.3g} (wall time{processes})"
    if cost.core_hours:
        threads = f"{cost.threads} thread{'' if cost.threads == 1 else 's'}"
        facts["core hours"] = f"{cost.core_hours:.3g} (wall time x {threads}{processes})"
    if cost.host_memory is not None:
        facts["peak memory of the process"] = f"{count(cost.host_memory)}B"
    if cost.gpu_memory is not None:
        facts["peak memory of the GPU"] = f"{count(cost.gpu_memory)}B"
    if candidates:
        facts["time per candidate"] = (
            f"{duration(cost.wall_seconds / candidates)} (wall time over {candidates:,})"
        )
    return facts
