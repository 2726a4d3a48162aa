"""One batch out of a data loader, in the words of zero-cost NAS code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from tvtfast.common import checks


def loader_batch(
    loader: Iterable[Sequence[Any]],
    dataload_info: tuple[str, int, int],
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Images and labels that a data loader gives, as ``find_measures`` of foresight reads it.

    Args:
        loader: Gives batches whose first two items are images ``[B, 3, H, W]`` and labels ``[B]``;
            a list of one batch gives every call the same images.
        dataload_info: ``("random", n, classes)``, the first n batches one behind the other, or
            ``("grasp", n, classes)``, the first n images of every class, class by class.
        device: Where both are moved.

    Returns:
        Images ``[N, 3, H, W]``, and labels, int64 ``[N]``.

    Raises:
        ValueError: Another way of drawing, or the loader ends before there is enough.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    """
    way, count, num_classes = dataload_info
    if way not in ("random", "grasp"):
        raise ValueError(
            f"dataload_info begins with {way!r}; give 'random' and a number of batches, or 'grasp' "
            "and a number of images per class"
        )
    count = checks.whole("dataload_info[1]", count, least=1)
    if way == "random":
        images, labels = _first_batches(loader, count)
    else:
        images, labels = _of_every_class(
            loader, count, checks.whole("dataload_info[2]", num_classes, least=1)
        )
    return images.to(device), labels.to(device).long()


def _first_batches(loader: Iterable[Sequence[Any]], count: int) -> tuple[Tensor, Tensor]:
    found = [(batch[0], batch[1]) for _, batch in zip(range(count), loader, strict=False)]
    if len(found) < count:
        raise ValueError(f"the loader has {len(found)} batches, and {count} were asked for")
    return torch.cat([images for images, _ in found]), torch.cat([labels for _, labels in found])


def _of_every_class(
    loader: Iterable[Sequence[Any]], each: int, num_classes: int
) -> tuple[Tensor, Tensor]:
    found: list[list[Tensor]] = [[] for _ in range(num_classes)]
    missing = each * num_classes
    for batch in loader:
        for image, label in zip(batch[0], batch[1].tolist(), strict=True):
            if not 0 <= label < num_classes:
                raise ValueError(
                    f"the loader gives the label {label}, and dataload_info says {num_classes} "
                    "classes"
                )
            if len(found[label]) < each:
                found[label].append(image)
                missing -= 1
        if not missing:
            images = torch.stack([image for of_class in found for image in of_class])
            return images, torch.arange(num_classes).repeat_interleave(each)
    short = next(label for label, of_class in enumerate(found) if len(of_class) < each)
    raise ValueError(
        f"the loader has {len(found[short])} images of class {short}, and {each} were asked for"
    )
