"""Other candidates that scores are relative to, so that those of several calls compare."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias

from tvtfast.common import checks
from tvtfast.proxies import DerivedProxy
from tvtfast.scoring.identity import determined_by
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.table import ScoreTable

RelativeTo: TypeAlias = "ScoreTable | int | None"


def reference_table(relative_to: RelativeTo, setup: Setup) -> ScoreTable | None:
    """The scores themselves, where they are given.

    Raises:
        ValueError: They lack a column that is to be combined, or were scored with other settings.
    """
    if not isinstance(relative_to, ScoreTable):
        return None
    scaled = (proxy for proxy in setup.combined if not isinstance(proxy, DerivedProxy))
    parts = (part for combination in scaled for part in combination.parts)
    relative_to.refuse_other_scores(list(dict.fromkeys(parts)), determined_by(setup))
    return relative_to


def reference_sample(relative_to: RelativeTo, setup: Setup) -> list[Any]:
    """The architectures that are to be scored first, where a number of them is given.

    Raises:
        ValueError: Fewer than two, or no space to draw them from.
        InfeasibleError: The space has fewer.
        TypeError: Neither a number nor a table.
    """
    if relative_to is None or isinstance(relative_to, ScoreTable):
        return []
    if not hasattr(relative_to, "__index__"):
        raise TypeError(
            f"relative_to is a {type(relative_to).__name__}; give a ScoreTable of earlier scores, "
            "or the number of architectures to draw from the space"
        )
    count = checks.whole("relative_to", relative_to, least=2)
    if setup.space is None:
        raise ValueError(
            f"relative_to is {count} architectures, and no space to draw them from was given; "
            "pass space=..., or a ScoreTable"
        )
    return setup.space.sample(count, setup.seeds[0], **asdict(setup.options))
