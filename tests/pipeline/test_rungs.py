"""Epochs and sizes of the rungs, against a plain count of every training."""

from __future__ import annotations

import math

import pytest

from tvtfast.distill import Recipe
from tvtfast.pipeline import Rungs
from tvtfast.pipeline.finalists.rungs import least_epochs, rungs_within


def counted(rungs, compared):
    """Epochs of all trainings when none of the compared ones goes on by itself."""
    trained = [rungs.epochs[0]] * (rungs.sizes[0] + rungs.proposed)
    for rung, size in enumerate(rungs.sizes[1:], 1):
        for place in range(size):
            assert trained[place] == rungs.epochs[rung - 1]
            trained[place] = rungs.epochs[rung]
    return sum(trained) + compared * (rungs.epochs[-1] - rungs.epochs[0])


@pytest.mark.parametrize(
    ("finalists", "epochs", "expected"),
    (
        (8, 300, Rungs((37, 75, 150, 300), (8, 4, 2, 1), 4)),
        (4, 4, Rungs((1, 2, 4), (4, 2, 1), 2)),
        (6, 16, Rungs((2, 4, 8, 16), (6, 3, 2, 1), 3)),
        (5, 9, Rungs((1, 2, 4, 9), (5, 3, 2, 1), 2)),
    ),
)
def test_a_rung_has_half_the_finalists_and_twice_the_epochs(finalists, epochs, expected):
    found = Rungs.of(finalists, epochs)
    assert found == expected
    for compared in (0, 3):
        assert found.total(compared) == counted(found, compared)


@pytest.mark.parametrize("finalists", range(4, 40))
def test_every_rung_is_longer_than_the_one_before(finalists):
    least = least_epochs(finalists)
    assert least == 2 ** math.ceil(math.log2(finalists))
    for epochs in (least, least + 1, 3 * least - 1):
        found = Rungs.of(finalists, epochs)
        assert found.epochs[0] >= 1 and found.epochs[-1] == epochs
        assert list(found.epochs) == sorted(set(found.epochs))
        assert found.sizes[0] == finalists and found.sizes[-1] == 1
    with pytest.raises(ValueError, match=f"{least - 1} epochs; give at least {least}, or fewer"):
        Rungs.of(finalists, least - 1)


def test_hours_decide_the_epochs():
    """The longest that fits, and not one epoch more."""
    recipe = Recipe(epochs=300)
    found = rungs_within(2.0, 10.0, 8, 4, recipe)
    assert found.total(4) * 10.0 <= 7200 < Rungs.of(8, found.epochs[-1] + 1).total(4) * 10.0
    assert rungs_within(1e6, 10.0, 8, 4, recipe) == Rungs.of(8, 300), "the recipe is the most"
    with pytest.raises(ValueError, match=r"train_hours is 0.1, and an epoch takes 30 s: 8 final"):
        rungs_within(0.1, 30.0, 8, 4, recipe)
