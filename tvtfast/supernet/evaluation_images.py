"""Images that candidates of a superformer are compared on, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tvtfast.common import checks
from tvtfast.common.normalization import Normalization
from tvtfast.data import VisionDataset
from tvtfast.data.transforms import normalize_resized, resize_transform

BATCH = 256
KEPT_BYTES = 2**30
"""Resized images that take no more than this (7,133 of 224 pixels) are kept in memory."""

_logger = logging.getLogger("tvtfast.data")
_PREFETCHED = 2
_MEGA = 1e6


class EvaluationImages:
    """Images resized and normalised as `tvtfast.data.eval_transform` does, to the bit, in batches
    that are the same in every pass.

    Host memory, with N images of S pixels, batches of B and W workers: resized images are kept as
    uint8, ``3 N S S`` bytes, where that is at most ``memory``. Otherwise every pass reads them
    again, and ``3 B S S max(1, 2 W)`` bytes are underway. One batch at a time is float32, ``12 B S
    S`` bytes, here and on the device.

    Args:
        images: Labelled images.
        img_size: Side in pixels.
        normalization: Channel mean and standard deviation.
        memory: Most bytes of resized images that are kept.
        workers: Processes that read images; they change no result.
        batch_size: Images of a batch.

    Raises:
        ValueError: A number out of range.
    """

    def __init__(
        self,
        images: VisionDataset,
        img_size: int,
        normalization: Normalization,
        *,
        memory: int = KEPT_BYTES,
        workers: int = 0,
        batch_size: int = BATCH,
    ) -> None:
        checks.whole("memory", memory, least=0)
        checks.whole("workers", workers, least=0)
        self.images, self.img_size, self.normalization = images, img_size, normalization
        self.workers, self.batch_size = workers, batch_size
        bytes_of_all = len(images) * self._bytes_of_one
        self._kept: Tensor | None = None
        if bytes_of_all <= memory:
            self._kept = torch.empty(len(images), 3, img_size, img_size, dtype=torch.uint8)
            done = 0
            for pixels in self._read():
                self._kept[done : done + len(pixels)] = pixels
                done += len(pixels)

    @property
    def is_kept(self) -> bool:
        """Whether images stay in memory; else every pass reads them again."""
        return self._kept is not None

    @property
    def memory(self) -> int:
        """Bytes of images in host memory at most, see the class."""
        batch = min(self.batch_size, len(self.images)) * self._bytes_of_one
        held = len(self.images) * self._bytes_of_one
        if not self.is_kept:
            held = batch * max(1, _PREFETCHED * self.workers)
        return held + 4 * batch

    @property
    def identity(self) -> dict[str, str]:
        """What the images of a pass depend on."""
        return {
            "images": self.images.fingerprint,
            "img_size": str(self.img_size),
            "normalization": str(self.normalization),
        }

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass: float32 ``[B, 3, S, S]`` and int64 ``[B]``, on the CPU."""
        pixels = self._read() if self._kept is None else self._kept.split(self.batch_size)
        for batch, labels in zip(pixels, self.images.labels.split(self.batch_size), strict=True):
            yield normalize_resized(batch, self.normalization), labels

    def __str__(self) -> str:
        """One line: «288 images of digits, train-held-out0.2-seed0: kept in memory, at most 4.0
        MB»."""
        how = "kept in memory" if self.is_kept else "read again in every pass"
        return (
            f"{len(self):,} images of {self.images.name}, {self.images.split}: {how}, at most "
            f"{self.memory / _MEGA:,.1f} MB"
        )

    def say(self) -> None:
        """Log the line at level ``INFO``."""
        _logger.info("inherited accuracy on %s", self)

    @property
    def _bytes_of_one(self) -> int:
        return 3 * self.img_size**2

    def _read(self) -> Iterator[Tensor]:
        """Resized images in batches, uint8; the random state of the process stays as it is."""
        loader: DataLoader[tuple[Tensor, int]] = DataLoader(
            self.images.with_transform(resize_transform(self.img_size)),
            batch_size=self.batch_size,
            num_workers=self.workers,
            prefetch_factor=_PREFETCHED if self.workers else None,
            generator=torch.Generator(),
        )
        for pixels, _ in loader:
            yield pixels
