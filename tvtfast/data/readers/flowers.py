"""Oxford Flowers-102, with the split the published recipe trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvtfast.common.foreign import reading
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ImageFiles
from tvtfast.data.locate import Layout, locate

FLOWERS_LAYOUT = Layout(
    folders=("flowers", "flowers-102"),
    entries=("jpg", "imagelabels.mat", "setid.mat"),
    source="102flowers.tgz (the folder jpg), imagelabels.mat and setid.mat of Oxford Flowers-102",
)

MD5 = {
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
}
"""Sums of the published lists. SciPy's parser ends the process over some that are damaged."""

_ID_LISTS = {
    "train": ("trnid",),
    "val": ("valid",),
    "trainval": ("trnid", "valid"),
    "test": ("tstid",),
}


def read_flowers102(path: Path | None, split: str) -> VisionDataset:
    """Read Oxford Flowers-102 (102 classes; train 1,020, val 1,020, test 6,149 images).

    What the published recipe calls its training split is ``trnid`` and ``valid`` together; that is
    ``split="trainval"`` here, while ``"train"`` is ``trnid`` alone, as in torchvision.

    Args:
        path: The folder with ``jpg/``, ``imagelabels.mat`` and ``setid.mat``, or the one around it.
        split: ``"train"``, ``"val"``, ``"trainval"`` or ``"test"``.

    Returns:
        Labels count from 0: one less than in ``imagelabels.mat``.
    """
    folder = locate("flowers102", FLOWERS_LAYOUT, path)
    labels_by_id = _read_integers(folder / "imagelabels.mat", ("labels",))
    ids = _read_integers(folder / "setid.mat", _ID_LISTS[split])
    strangers = ids[(ids < 1) | (ids > len(labels_by_id))]
    if strangers.size:
        raise ValueError(
            f"{folder / 'setid.mat'} names image {strangers[0]}, but imagelabels.mat has labels "
            f"for images 1..{len(labels_by_id)}; get both files again"
        )
    ensure_torchvision()
    from torchvision.datasets import Flowers102

    return VisionDataset(
        ImageFiles(
            [folder / f"jpg/image_{number:05d}.jpg" for number in ids], f"flowers102 {split}"
        ),
        labels_by_id[ids - 1] - 1,
        Flowers102.classes,
        name="flowers102",
        split=split,
    )


def _read_integers(path: Path, keys: tuple[str, ...]) -> npt.NDArray[Any]:
    """The integer vectors stored under ``keys`` of a MATLAB file, joined: int64 ``[n]``."""
    ensure_torchvision()
    from scipy.io import loadmat
    from torchvision.datasets.utils import check_md5

    with reading(path, "a list of Flowers-102", advice="get the file again"):
        if not check_md5(path, MD5[path.name]):
            raise ValueError("its MD5 sum is not that of the published file")
        content = loadmat(path, variable_names=keys)
        joined = np.concatenate([np.asarray(content[key]).reshape(-1) for key in keys])
        if joined.size == 0 or joined.dtype.kind not in "iu":
            raise ValueError(
                f"{', '.join(keys)} holds {joined.size} values of {joined.dtype}; expected are "
                "integers"
            )
    return joined.astype(np.int64)
