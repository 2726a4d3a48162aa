"""The images that a superformer was not trained on, to compare candidates by."""

from __future__ import annotations

import os

from tvtfast.data import VisionDataset, load_splits
from tvtfast.supernet.folder import SuperformerCard

_HELD_OUT = 1
"""Place of the held-out images among those that a training records."""


def held_out_images(
    card: SuperformerCard,
    name: str | os.PathLike[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> VisionDataset:
    """The very images that the training of a superformer held out.

    Args:
        card: The superformer's.
        name: As in `tvtfast.data.load_dataset`; default the data set that the card names.
        path: As in `tvtfast.data.load_dataset`.

    Raises:
        DatasetNotFoundError: The data set is not where it was.
        ValueError: The training held nothing out, or does not say where its images are, or they
            are others by now.
    """
    if not card.search_split:
        raise ValueError(
            f"the superformer was trained on all training images of {card.dataset!r} ("
            + ("by an earlier version" if card.search_split is None else "search_split=0")
            + "), so that none is left to compare candidates by; train one that holds some out "
            "(tvtfast supernet --search-split 0.2), or give images that it has not seen: "
            "tvtfast.supernet.InheritedAccuracy(load_superformer(FOLDER), images).proxy()"
        )
    where = card.evaluation if name is None else {"name": name, "path": path}
    if where is None:
        raise ValueError(
            f"the superformer does not say where the images of {card.dataset!r} are; give their "
            "path: --data-set NAME --data-path PATH, or tvtfast.supernet.InheritedAccuracy("
            "load_superformer(FOLDER), load_splits(NAME, PATH).held_out).proxy()"
        )
    found = load_splits(**where, search_split=card.search_split).held_out
    assert found is not None
    recorded = card.recipe["pixels"][_HELD_OUT]
    if found.fingerprint != recorded:
        raise ValueError(
            f"{found!r} are other images than those of {card.dataset!r} that the superformer held "
            f"out (their digest is {found.fingerprint[:8]}, and was {recorded[:8]}): it may have "
            "been trained on some of them. Give the data set that it was trained on"
        )
    return found
