"""Strategies run on formulas, without a search around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tvtfast.strategies import Column, Scores

Formula = Callable[[Any], float]


def _drive(proposals: Any, combined: Formula, **columns: tuple[Formula, bool]) -> tuple[Any, Any]:
    populations, archive, feedback = [], {}, None
    while True:
        try:
            population = proposals.send(feedback)
        except StopIteration as end:
            return populations, end.value
        populations.append(population)
        archive |= {arch: combined(arch) for arch in population}
        feedback = Scores(
            [archive[arch] for arch in population],
            {
                name: Column(tuple(map(formula, population)), higher)
                for name, (formula, higher) in columns.items()
            },
            dict(archive),
        )


@pytest.fixture(scope="session")
def drive() -> Callable[..., tuple[Any, Any]]:
    """All populations of a strategy that is told what formulas say, and what it returns."""
    return _drive
