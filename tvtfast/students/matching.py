"""Which class of a model is which class of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tvtfast.data import VisionDataset
from tvtfast.data.report import first

_LISTED = 3


class MatchedClasses(NamedTuple):
    """Classes of a model that are those of a data set.

    Attributes:
        names: By the model's label.
        labels: int64, the model's label by that of the data set.
        by: ``"name"``, or ``"count"`` where one of the two has none, or numbers for names.
    """

    names: tuple[str, ...]
    labels: Tensor
    by: str


def match_classes(known: Sequence[str] | None, count: int, images: VisionDataset) -> MatchedClasses:
    """Match classes by name, whatever their order, or by position where there are no names.

    Args:
        known: Names of the model's classes.
        count: How many it has.
        images: Images of all its classes, or of some that have names.

    Raises:
        ValueError: Names that the model does not know, other numbers of classes where there are no
            names, or a name that stands for several classes in another order.
    """
    names, given = None if known is None else tuple(known), images.classes
    if names is not None and set(given) <= set(names):
        return MatchedClasses(names, _by_name(names, images), "name")
    if names is not None and not (_are_numbers(names) or _are_numbers(given)):
        raise ValueError(_foreign(names, images))
    if names is not None and set(names) & set(given):
        raise ValueError(_foreign(names, images))
    if count != len(given):
        raise ValueError(
            f"the model has {count} classes and {images.name} has {len(given)}; evaluate it on a "
            "data set of its own classes"
        )
    return MatchedClasses(
        given if names is None or _are_numbers(names) else names, torch.arange(count), "count"
    )


def _by_name(names: tuple[str, ...], images: VisionDataset) -> Tensor:
    if names == images.classes:
        return torch.arange(len(names))
    twice = [name for name in dict.fromkeys(images.classes) if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"{', '.join(map(repr, twice[:_LISTED]))} stands for several classes of the model, and "
            f"{images.name} has its classes in another order; give every class a name of its own"
        )
    return torch.tensor([names.index(name) for name in images.classes])


def _are_numbers(classes: Sequence[str]) -> bool:
    return list(classes) == [str(label) for label in range(len(classes))]


def _foreign(names: tuple[str, ...], images: VisionDataset) -> str:
    foreign = [repr(name) for name in images.classes if name not in names]
    return (
        f"{images.name} has classes that the model was not trained on: {first(foreign, _LISTED)}; "
        f"it knows {first(map(repr, names), _LISTED)}; evaluate it on a data set of these "
        "classes, or rename the folders"
    )
