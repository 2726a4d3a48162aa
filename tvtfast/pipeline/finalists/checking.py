"""What a tournament cannot be made of is refused before any work."""

from __future__ import annotations

from tvtfast.data import Splits
from tvtfast.distill import Recipe
from tvtfast.pipeline.finalists.rungs import Rungs


def check_held_out(splits: Splits) -> None:
    """Refuse images none of which can decide.

    Raises:
        ValueError: Nothing is held out.
    """
    if splits.held_out is None:
        raise ValueError(
            "finalists go by held-out images, and search_split=0 holds none out; give a share "
            "above 0"
        )


def check_recipe(recipe: Recipe, finalists: int, first: int | None = None) -> None:
    """Refuse a recipe that rungs cannot be made of.

    Args:
        recipe: Of the trainings.
        finalists: K.
        first: Epochs of the first rung; ``None`` for those that all epochs of the recipe give.

    Raises:
        ValueError: Too few epochs, warm-up beyond the first rung, or progressive tokens.
    """
    if recipe.tokens is not None:
        raise ValueError(
            "the recipe has progressive tokens, which are laid over the epochs of one training, "
            "and that of a finalist goes on from rung to rung; give a recipe with tokens=None"
        )
    epochs = Rungs.of(finalists, recipe.epochs).epochs[0] if first is None else first
    if recipe.warmup_epochs is not None and recipe.warmup_epochs >= max(epochs, 1):
        raise ValueError(
            f"warmup_epochs is {recipe.warmup_epochs}, and the first rung has {epochs} epochs; "
            "give fewer, or None for a share of them"
        )
