"""A teacher that looks at every training image once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tvtfast.common.progress import track
from tvtfast.data import VisionDataset, eval_transform
from tvtfast.data.placed import crop_features
from tvtfast.models import SpatialFeatures, Teacher
from tvtfast.training.guide import Guide
from tvtfast.training.loading import TrainingBatch
from tvtfast.training.losses.guidance import feature_map

_BATCH = 128


class OfflineGuide(Guide):
    """Features computed once on images that are only resized, then cropped and flipped with them.

    Source: Li et al., ECCV 2022, the offline variant.

    Args:
        teacher: Left as it is.
        dataset: The training images.
        img_size: Side in pixels that the student sees.
        device: Where features are cropped; they are kept on the CPU.
        workers: Processes that load images.
        progress: Show a progress bar.
    """

    def __init__(
        self,
        teacher: Teacher,
        dataset: VisionDataset,
        *,
        img_size: int,
        device: torch.device,
        workers: int = 0,
        progress: bool = False,
    ) -> None:
        super().__init__(teacher, dataset.normalization)
        self.device = device
        resized = dataset.with_transform(eval_transform(img_size, dataset.normalization))
        batches = DataLoader(resized, batch_size=_BATCH, num_workers=workers)
        self.stages: list[Tensor] = []
        done = 0
        with track("teacher looks", total=len(dataset), unit="image", show=progress) as bar:
            for images, _ in batches:
                found, _ = self.look(images.to(device), logits=False)
                if not self.stages:
                    shapes = [feature_map(f).shape[1:] for f in found]
                    self.stages = [torch.empty(len(dataset), *shape) for shape in shapes]
                for stage, features in zip(self.stages, found, strict=True):
                    stage[done : done + len(images)] = feature_map(features)
                done += len(images)
                bar.update(len(images))

    def __call__(
        self, batch: TrainingBatch, *, logits: bool
    ) -> tuple[list[SpatialFeatures], Tensor | None]:
        rows = batch.rows.cpu()
        kept = (stage[rows].to(self.device) for stage in self.stages)
        return [SpatialFeatures(crop_features(x, batch.places)) for x in kept], None
