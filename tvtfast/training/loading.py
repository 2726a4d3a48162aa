"""Batches that depend on (seed, epoch, image) alone: not on workers, processes or interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from tvtfast.data import VisionDataset, eval_transform
from tvtfast.data.placed import PlacedTransform, placed_transform
from tvtfast.data.seeding import local_rng
from tvtfast.training.processes import Team
from tvtfast.training.recipe import Recipe


class TrainingBatch(NamedTuple):
    """Training images, and where they come from.

    Attributes:
        images: float32 ``[B, 3, S, S]``, normalised.
        labels: int64 ``[B]``; shares of the classes, float32 ``[B, K]``, where images are mixed.
        rows: int64 ``[B]``, indices in the data set.
        places: float32 ``[B, 5]``, see `tvtfast.data.placed.PlacedTransform`.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    places: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """The batch on a device, without waiting for it."""
        return TrainingBatch(*(tensor.to(device, non_blocking=True) for tensor in self))

    def parts(self, count: int) -> list[TrainingBatch]:
        """The batch in at most ``count`` parts of about the same size."""
        if count == 1:
            return [self]
        split = (tensor.tensor_split(min(count, len(self.labels))) for tensor in self)
        return [TrainingBatch(*tensors) for tensors in zip(*split, strict=True)]


def training_batches(
    dataset: VisionDataset,
    *,
    recipe: Recipe,
    img_size: int,
    seed: int,
    workers: int,
    team: Team,
) -> tuple[DataLoader[TrainingBatch], EpochSampler]:
    """A loader of batches, and the sampler that is told the epoch.

    Raises:
        ValueError: There are fewer images than processes, or than twice as many where images are
            mixed in pairs.
    """
    sampler = EpochSampler(
        len(dataset), recipe.batch_size, seed, team, repeats=recipe.repeats, pairs=recipe.mixes
    )
    transform = placed_transform(
        recipe.augmentation,
        img_size,
        dataset.normalization,
        rand_augment=recipe.rand_augment,
        random_erasing=recipe.random_erasing,
    )
    augmented = _Augmented(dataset, transform, seed)
    loader: DataLoader[Any] = DataLoader(
        augmented,
        batch_sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=team.device.type == "cuda",
    )
    return loader, sampler


def evaluation_batches(
    dataset: VisionDataset, *, batch_size: int, img_size: int, workers: int, team: Team
) -> DataLoader[tuple[Tensor, int]]:
    """The part of the images that this process evaluates, resized as published."""
    transformed = dataset.with_transform(eval_transform(img_size, dataset.normalization))
    own = Subset(transformed, range(team.rank, len(dataset), team.size))
    return DataLoader(
        own,
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=team.device.type == "cuda",
    )


class EpochSampler(Sampler[list[tuple[int, ...]]]):
    """Batches of ``(epoch, index)``, and of ``(epoch, index, copy)`` for further copies.

    The order is a permutation of all images by (seed, epoch), cut into steps of ``batch_size x
    processes`` images (of all images where there are fewer); the process of rank r takes every
    image r, r + processes, ... of a step. What is left over is not seen in that epoch. A team of n
    therefore takes the same steps as one process with batches n times as large.

    With ``pairs`` the number of images per step and process is even.

    With ``repeats`` every image stands that many times in a row, and the order ends after as many
    places as there are images. timm's ``RepeatAugSampler`` does the same by a generator of its own.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        seed: int,
        team: Team,
        *,
        repeats: int = 1,
        pairs: bool = False,
    ) -> None:
        unit = team.size * (2 if pairs else 1)
        if images < unit:
            paired = " in pairs, which mixup and CutMix mix" if pairs else ""
            raise ValueError(f"{images} images cannot be shared by {team.size} processes{paired}")
        self.images, self.seed, self.team, self.repeats = images, seed, team, repeats
        self.step_images = min(batch_size * team.size, images // unit * unit)
        self.epoch = 0

    def __len__(self) -> int:
        return self.images // self.step_images

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.epoch,))
        order = np.random.RandomState(np.random.MT19937(sequence)).permutation(self.images)
        for step in range(len(self)):
            places = range(step * self.step_images, (step + 1) * self.step_images)
            yield [self._key(order, place) for place in places[self.team.rank :: self.team.size]]

    def _key(self, order: npt.NDArray[np.int64], place: int) -> tuple[int, ...]:
        row, copy = divmod(place, self.repeats)
        return (self.epoch, int(order[row]), *((copy,) if copy else ()))


class _Augmented(Dataset[tuple[Tensor, int, int, Tensor]]):
    """Image ``(epoch, index)`` or ``(epoch, index, copy)`` as the transform draws it with that
    seed; see `TrainingBatch`."""

    def __init__(self, dataset: VisionDataset, transform: PlacedTransform, seed: int) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Tensor, int, int, Tensor]:
        index = key[1]
        image, label = self.dataset[index]
        with local_rng(self.seed, *key):
            pixels, place = self.transform(image)
        return pixels, label, index, place
