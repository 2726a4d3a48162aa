"""All that can be refused before a search loads, draws or scores anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tvtfast import proxies as proxy_table
from tvtfast.common import checks
from tvtfast.common.files import check_folder
from tvtfast.common.machine import as_device
from tvtfast.scoring.ranking import Method, check_method
from tvtfast.scoring.settings import Scoring
from tvtfast.searching.objectives import parse_objectives
from tvtfast.spaces import (
    COUNTS,
    METRICS,
    PUBLISHED,
    Constraints,
    InfeasibleError,
    ModelOptions,
    Space,
    parse_constraints,
    parse_windows,
)
from tvtfast.strategies import Strategy, choose
from tvtfast.strategies import get as get_strategy

_LARGEST = 2**20
"""Side of an image in which every patch has room."""


def check_search(
    space: Space[Any],
    *,
    strategy: str | Strategy | None,
    trials: int | None,
    constraints: Constraints | None,
    method: Method,
    objectives: Sequence[str] | None,
    top_k: int,
    run_dir: str | os.PathLike[str] | None,
    scoring: Scoring,
) -> None:
    """Refuse arguments of `tvtfast.search` that name nothing, or nothing possible.

    Raises:
        ValueError: An unknown name, a number out of range, or model options that the space has no
            models for.
        OutputError: The run folder cannot be written.
    """
    chosen, _ = choose(space, strategy, trials)
    get_strategy(chosen)
    check_method(method)
    checks.whole("top_k", top_k, least=1)
    as_device(scoring.device)
    asked = scoring.asked
    later = {column for name in asked if (column := proxy_table.made_later(name)) is not None}
    named = [name for name in asked if proxy_table.made_later(name) is None]
    single, combined = proxy_table.resolve([*proxy_table.BASELINES, *named])
    windows = parse_windows(constraints)
    parse_constraints({name: window for name, window in windows.items() if name in COUNTS})
    if PUBLISHED in windows:
        space.feasible_range(PUBLISHED)
    beside = {column for name in asked for column in proxy_table.beside_later(name)}
    limited = windows.keys() - COUNTS - later - beside
    proxy_table.constrained_proxies(limited, single, combined)
    if objectives is not None:
        scored = {
            proxy.name: proxy.higher_is_better for proxy in single if proxy.name not in METRICS
        }
        parse_objectives(objectives, scored | dict.fromkeys(later, True), combined)
    if "img_size" in scoring.model_options:
        space.check_options(**scoring.model_options)
    else:  # that of the images, which nobody has looked at
        ModelOptions.of(img_size=_LARGEST, **scoring.model_options)
    if run_dir is not None:
        check_folder("run_dir", run_dir)


def check_feasible(
    space: Space[Any], constraints: Constraints | None, seed: int, **options: Any
) -> None:
    """Refuse windows of parameters and FLOPs that no architecture is inside.

    Raises:
        InfeasibleError: The message names the feasible range.
    """
    windows = {
        name: window for name, window in parse_windows(constraints).items() if name in COUNTS
    }
    if windows and not space.sample(1, seed, windows, **options):
        raise InfeasibleError(f"no architecture of {space.name!r} is inside the constraints")
