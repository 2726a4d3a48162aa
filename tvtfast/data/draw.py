"""Drawing a frozen batch, and making one of whatever a caller has for images."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from tvtfast.data.dataset import VisionDataset
from tvtfast.data.frozen import FrozenBatch
from tvtfast.data.registry import load_dataset
from tvtfast.data.sampling import balanced_indices
from tvtfast.data.seeding import local_rng
from tvtfast.data.transforms import eval_transform, train_transform

_BATCH_SIZE = 32


def default_batch_size(dataset: VisionDataset) -> int:
    """Images of a frozen batch where nothing is said: 32, or all of a smaller set."""
    return min(_BATCH_SIZE, len(dataset))


def frozen_batch(
    dataset: str | os.PathLike[str] | VisionDataset,
    batch_size: int | None = None,
    *,
    img_size: int | None = None,
    split: str | None = None,
    path: str | os.PathLike[str] | None = None,
    seed: int = 0,
    augment: bool = False,
) -> FrozenBatch:
    """Draw the batch a population is scored on.

    Images are drawn without replacement and class-balanced: one of each class before a second of
    any. The same arguments draw the same images (and a smaller ``batch_size`` the first images of a
    larger one); with the same versions of Pillow, torchvision and timm they give the same bits.
    The global random generators play no part and their state is left alone.

    Args:
        dataset: A loaded data set, or what ``load_dataset`` takes as name.
        batch_size: Number of images ``B``; default 32, or all of a smaller set.
        img_size: Side in pixels; default 224 as published, 32 for ``digits``.
        split: As for ``load_dataset``; only with a name.
        path: As for ``load_dataset``; only with a name.
        seed: Non-negative; chooses the images and their augmentation.
        augment: ``False`` for the published test transform, ``True`` for the published training
            augmentation, each image's keyed by the seed and its index in the split.

    Returns:
        Images float32 ``[B, 3, img_size, img_size]``, labels int64 ``[B]``, on the CPU.

    Raises:
        DatasetNotFoundError: As ``load_dataset``.
        ValueError: As ``load_dataset``; where ``batch_size``, ``img_size`` or ``seed`` is out of
            range; where ``split`` or ``path`` comes with a loaded data set.
    """
    if not isinstance(dataset, VisionDataset):
        dataset = load_dataset(dataset, path, split=split)
    elif split is not None or path is not None:
        raise ValueError(
            f"split={split!r}, path={path!r}: {dataset!r} is already loaded; give them to "
            "load_dataset"
        )
    batch_size = default_batch_size(dataset) if batch_size is None else batch_size
    if not 1 <= batch_size <= len(dataset):
        remarks = "; ".join(dataset.report.remarks) if dataset.report else ""
        raise ValueError(
            f"batch_size={batch_size}: {dataset.name} {dataset.split} has {len(dataset)} images"
            f"{f' ({remarks})' if remarks else ''} and none is drawn twice; allowed is "
            f"1..{len(dataset)}"
        )
    if seed < 0:
        raise ValueError(f"seed={seed}: give 0 or more")
    img_size = dataset.img_size if img_size is None else img_size
    transform = (train_transform if augment else eval_transform)(img_size, dataset.normalization)

    chosen = balanced_indices(dataset.labels, batch_size, seed)
    images = []
    for index in chosen:
        with local_rng(seed, index):
            images.append(transform(dataset.images[index]))
    suffix = "-augmented" if augment else ""
    return FrozenBatch.from_tensors(
        torch.stack(images),
        dataset.labels[chosen],
        normalization=dataset.normalization,
        name=f"{dataset.name}-{dataset.split}-{batch_size}x{img_size}-seed{seed}{suffix}",
        dataset=dataset.name,
        split=dataset.split,
        num_classes=dataset.num_classes,
    )


def resolve_images(
    images: FrozenBatch | Tensor | VisionDataset | str | os.PathLike[str],
    *,
    labels: Tensor | None = None,
    num_classes: int | None = None,
    batch_size: int | None = None,
    img_size: int | None = None,
    split: str | None = None,
    path: str | os.PathLike[str] | None = None,
    seed: int = 0,
    augment: bool = False,
) -> FrozenBatch:
    """Whatever a caller has for images, as a ``FrozenBatch``.

    Args:
        images: A frozen batch, returned as it is; a tensor, floating point ``[B, 3, H, W]`` with
            finite values, already normalised; the path of a saved batch (``.safetensors``); or a
            data set, by name, path or loaded, from which ``frozen_batch`` draws.
        labels: Integers ``[B]``; only with a tensor.
        num_classes: Number of classes; only with a tensor.
        batch_size: This and the following as in ``frozen_batch``; used for a data set only.
        img_size: As in ``frozen_batch``.
        split: As in ``frozen_batch``.
        path: As in ``frozen_batch``.
        seed: As in ``frozen_batch``.
        augment: As in ``frozen_batch``.

    Returns:
        A tensor comes back with name and data set ``"tensor"`` and ``normalization=None``, sharing
        its memory: leave the tensor alone from then on.

    Raises:
        TypeError: For any other type.
        ValueError: For a tensor of another dtype or shape, or with NaN or infinite values; for
            ``labels`` or ``num_classes`` beside something that has its own; as ``frozen_batch``.
    """
    if isinstance(images, Tensor):
        return FrozenBatch.from_tensors(images, labels, num_classes=num_classes)
    if labels is not None or num_classes is not None:
        raise ValueError("labels and num_classes go with a tensor; other images bring their own")
    if isinstance(images, FrozenBatch):
        return images
    if not isinstance(images, (VisionDataset, str, os.PathLike)):
        raise TypeError(
            f"images is a {type(images).__name__}; allowed are a FrozenBatch, a tensor "
            "[B, 3, H, W], a data set, its name, or the path of a saved batch (.safetensors)"
        )
    if not isinstance(images, VisionDataset) and Path(images).suffix.lower() == ".safetensors":
        return FrozenBatch.load(images)
    return frozen_batch(
        images,
        batch_size,
        img_size=img_size,
        split=split,
        path=path,
        seed=seed,
        augment=augment,
    )
