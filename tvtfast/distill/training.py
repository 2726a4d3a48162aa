"""Train a ConvNet teacher on a small data set."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from tvtfast.data import VisionDataset, eval_transform
from tvtfast.initialization import initialize_
from tvtfast.models import CifarResNet

_BATCH_SIZE = 64
_LEARNING_RATE = 0.1
_WARMUP_FRACTION = 0.2
_PADDING = 2


def train_cifar_resnet(
    train: VisionDataset,
    test: VisionDataset,
    *,
    depth: int,
    epochs: int,
    img_size: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> tuple[CifarResNet, float]:
    """Train a CIFAR ResNet from scratch.

    SGD with Nesterov momentum 0.9, weight decay 5e-4, batches of 64, a one-cycle learning rate that
    peaks at 0.1, and shifts of up to two pixels as augmentation.

    Args:
        train: Training images.
        test: Test images.
        depth: See `tvtfast.models.CifarResNet`.
        epochs: Passes over the training images.
        img_size: Side in pixels that images are resized to.
        seed: Seed of weights, order and shifts.
        progress: Show a progress bar.

    Returns:
        The network in evaluation mode, and its top-1 accuracy on ``test`` in percent.

    Raises:
        FloatingPointError: The loss is no longer finite.
    """
    model = initialize_(CifarResNet(depth, train.num_classes), seed)
    images, labels = _tensors(train, img_size)
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(images) // _BATCH_SIZE) * epochs
    optimizer = torch.optim.SGD(
        model.parameters(), lr=_LEARNING_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _LEARNING_RATE, total_steps=steps, pct_start=_WARMUP_FRACTION
    )
    model.train()
    with tqdm(total=steps, desc="training teacher", unit="step", disable=not progress) as bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=generator).split(_BATCH_SIZE):
                loss = F.cross_entropy(model(_shifted(images[rows], generator)), labels[rows])
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"the loss of the teacher became {loss.item()} at step {bar.n}; check the "
                        "images for constant or corrupt content"
                    )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return model.eval(), accuracy(model, *_tensors(test, img_size))


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy in percent."""
    hits = sum(
        (model(batch).argmax(dim=1) == truth).sum().item()
        for batch, truth in zip(images.split(256), labels.split(256), strict=True)
    )
    return 100 * hits / len(images)


def _tensors(dataset: VisionDataset, img_size: int) -> tuple[Tensor, Tensor]:
    transformed = dataset.with_transform(eval_transform(img_size, dataset.normalization))
    images, labels = next(iter(DataLoader(transformed, batch_size=len(dataset))))
    return images, labels


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    side = images.shape[-1]
    padded = F.pad(images, (_PADDING,) * 4, mode="replicate")
    top, left = torch.randint(2 * _PADDING + 1, (2,), generator=generator).tolist()
    return padded[:, :, top : top + side, left : left + side]
