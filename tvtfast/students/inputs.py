"""What a student is shown of an image, in predicting and evaluating alike."""

from __future__ import annotations

from tvtfast.data import eval_transform
from tvtfast.data.transforms import Transform
from tvtfast.models import StudentCard


def input_transform(card: StudentCard) -> Transform:
    """The transform that a student was evaluated with as it was trained: a bicubic resize to its
    square, then its normalisation (`tvtfast.data.eval_transform`).

    Raises:
        ValueError: Its input is no square.
    """
    height, width = card.img_size
    if height != width:
        raise ValueError(
            f"the student takes images of {height} x {width} pixels, and images are resized to a "
            "square; resize them yourself and call its module"
        )
    return eval_transform(height, card.normalization)
