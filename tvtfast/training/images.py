"""Images to train on and to evaluate on, from whatever a caller has."""

from __future__ import annotations

import os

from tvtfast.data import VisionDataset, load_dataset


def images(
    dataset: str | os.PathLike[str] | VisionDataset,
    data_path: str | os.PathLike[str] | None,
    test: VisionDataset | None,
) -> tuple[VisionDataset, VisionDataset]:
    """Images to train on and to evaluate on."""
    if isinstance(dataset, VisionDataset):
        if test is None or data_path is not None:
            raise ValueError(
                f"{dataset!r} is loaded already; give the images to evaluate on as test=, and no "
                "data_path"
            )
        train = dataset
    else:
        if test is not None:
            raise ValueError("test= goes with loaded training images; a name brings its own split")
        train = load_dataset(dataset, data_path)
        test = load_dataset(dataset, data_path, split="eval")
    if train.num_classes != test.num_classes:
        raise ValueError(
            f"{train!r} and {test!r} have different numbers of classes; give two splits of one set"
        )
    return train, test
