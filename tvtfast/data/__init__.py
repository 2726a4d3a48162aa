"""Data sets, the published transforms, and the frozen batches candidates are scored on."""

from tvtfast.common.hashing import fingerprint
from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.data.dataset import TransformedDataset, VisionDataset
from tvtfast.data.draw import frozen_batch, resolve_images
from tvtfast.data.frozen import FrozenBatch
from tvtfast.data.loaders import loader_batch
from tvtfast.data.locate import DatasetNotFoundError
from tvtfast.data.pixels import read_image
from tvtfast.data.registry import DATASETS, DatasetInfo, available, load_dataset
from tvtfast.data.report import DataReport
from tvtfast.data.splits import SEARCH_SPLIT, Splits, hold_out, load_splits
from tvtfast.data.transforms import (
    eval_transform,
    light_transform,
    train_transform,
    weak_transform,
)
from tvtfast.data.vit_bench import load_vit_bench

__all__ = [
    "DATASETS",
    "IMAGENET_NORMALIZATION",
    "SEARCH_SPLIT",
    "DataReport",
    "DatasetInfo",
    "DatasetNotFoundError",
    "FrozenBatch",
    "Normalization",
    "Splits",
    "TransformedDataset",
    "VisionDataset",
    "available",
    "eval_transform",
    "fingerprint",
    "frozen_batch",
    "hold_out",
    "light_transform",
    "load_dataset",
    "load_splits",
    "load_vit_bench",
    "loader_batch",
    "read_image",
    "resolve_images",
    "train_transform",
    "weak_transform",
]
