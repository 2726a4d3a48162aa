"""Images to train on, to choose by and to test on, from whatever a caller has."""

from __future__ import annotations

import os

from tvtfast.data import Splits, VisionDataset, load_splits
from tvtfast.data.splits import check_search_split, split_up


def images(
    dataset: str | os.PathLike[str] | VisionDataset,
    data_path: str | os.PathLike[str] | None,
    test: VisionDataset | None,
    held_out: VisionDataset | None,
    search_split: float,
) -> Splits:
    """The splits of a data set by name, or of loaded images.

    Args:
        dataset: A name, a path, or training images.
        data_path: Folder of a data set by name.
        test: Images to test on; only with training images.
        held_out: Images to choose by; only with training images. Default part of them.
        search_split: Share of the training images that is held out otherwise; 0 for nothing.

    Raises:
        ValueError: Arguments that do not go together, or as `tvtfast.data.load_splits`.
    """
    if isinstance(dataset, VisionDataset):
        if test is None or data_path is not None:
            raise ValueError(
                f"{dataset!r} is loaded already; give the images to test on as test=, and no "
                "data_path"
            )
        if held_out is None:
            found = split_up(dataset, test, search_split)
        elif check_search_split(search_split):
            found = Splits(dataset, held_out, test, search_split)
        else:
            raise ValueError("search_split=0 holds nothing out, and held_out= is given; drop one")
    else:
        if test is not None or held_out is not None:
            raise ValueError(
                "test= and held_out= go with loaded training images; a name brings its own splits"
            )
        found = load_splits(dataset, data_path, search_split=search_split)
    for other in (found.held_out, found.test):
        if other is not None and found.train.num_classes != other.num_classes:
            raise ValueError(
                f"{found.train!r} and {other!r} have different numbers of classes; give splits of "
                "one set"
            )
    return found
