"""Which columns of a table are accuracies in percent."""

from __future__ import annotations

_ENDINGS = ("acc", "accuracy")


def is_accuracy(column: str) -> bool:
    """Whether a column holds accuracies in percent: its name ends in ``acc`` or ``accuracy``."""
    return column.lower().endswith(_ENDINGS)
