"""One batch of images that every candidate is scored on, with its identity."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tvtfast.common.files import replacing
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.common.hashing import fingerprint
from tvtfast.common.normalization import Normalization
from tvtfast.data.labels import MAX_CLASSES, check_labels

_METADATA_KEY = "tvtfast.frozen_batch"


@dataclass(frozen=True, eq=False)
class FrozenBatch:
    """Images and labels that stay the same for a whole population, and how they came to be.

    Made by ``frozen_batch``, ``resolve_images``, ``FrozenBatch.load`` and ``from_tensors``.

    Attributes:
        images: Floating point ``[B, 3, H, W]``, normalised; float32 as drawn.
        labels: int64 ``[B]``; ``None`` for plain tensors given without.
        normalization: What the images were normalised with; ``None`` where not known.
        name: Readable identity, such as ``"cifar100-train-32x224-seed0"``.
        dataset: Name of the data set, or ``"tensor"``.
        split: Split of the data set; empty for plain tensors.
        num_classes: Number of classes; ``None`` where not known.
        fingerprint: SHA-256 of dtype, shape and bytes of images and labels as drawn; moving or
            casting the batch leaves it as it is.
    """

    images: Tensor
    labels: Tensor | None
    normalization: Normalization | None
    name: str
    dataset: str
    split: str
    num_classes: int | None
    fingerprint: str

    @classmethod
    def from_tensors(
        cls,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        normalization: Normalization | None = None,
        name: str = "tensor",
        dataset: str = "tensor",
        split: str = "",
        num_classes: int | None = None,
    ) -> FrozenBatch:
        """Check the tensors and take their fingerprint.

        Args:
            images: Floating point ``[B, 3, H, W]`` with finite values, already normalised. The
                batch shares its memory: leave the tensor alone from then on.
            labels: Integers ``[B]`` in ``0..num_classes-1``.
            normalization: This and the following as the attributes.
            name: As the attribute.
            dataset: As the attribute.
            split: As the attribute.
            num_classes: As the attribute.

        Raises:
            ValueError: For another dtype or shape, NaN or infinite values (how many images, and
                the first), or labels out of range.
        """
        images = images.detach()
        _check_images(images)
        if labels is not None:
            labels = check_labels(labels, len(images), num_classes, name)
        return cls(
            images=images,
            labels=labels,
            normalization=normalization,
            name=name,
            dataset=dataset,
            split=split,
            num_classes=num_classes,
            fingerprint=fingerprint(*_tensors(images, labels).values()),
        )

    def __len__(self) -> int:
        return len(self.images)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> FrozenBatch:
        """The batch on ``device``, its images (not its labels) in the floating ``dtype``."""
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype={dtype}: images need a floating-point dtype")
        return replace(
            self,
            images=self.images.to(device=device, dtype=dtype),
            labels=None if self.labels is None else self.labels.to(device=device),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the batch as a safetensors file; another reader sees all of it or nothing.

        Raises:
            ValueError: Where the batch was cast to another dtype, so that it is no longer what its
                fingerprint names.
        """
        from safetensors.torch import save_file

        tensors = _tensors(self.images.cpu(), self.labels)
        if fingerprint(*tensors.values()) != self.fingerprint:
            raise ValueError(
                f"{self.name}: its {self.images.dtype} images are not those its fingerprint names; "
                "save the batch before casting it with .to(dtype=...)"
            )
        described = {
            "name": self.name,
            "dataset": self.dataset,
            "split": self.split,
            "num_classes": self.num_classes,
            "normalization": None if self.normalization is None else asdict(self.normalization),
            "fingerprint": self.fingerprint,
        }
        with replacing(path) as target:
            save_file(tensors, target, metadata={_METADATA_KEY: json.dumps(described)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FrozenBatch:
        """Read a batch written by ``save``, on the CPU.

        Raises:
            FileNotFoundError: Where there is no such file.
            BadFileError: Where it is not a frozen batch, or its content is not what its fingerprint
                names.
        """
        from safetensors import safe_open

        with reading(path, "a frozen batch", advice="give a file written by FrozenBatch.save"):
            with safe_open(path, framework="pt") as file:
                described = json.loads((file.metadata() or {})[_METADATA_KEY])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            _check_description(described)
            batch = cls.from_tensors(
                tensors["images"],
                tensors.get("labels"),
                normalization=_normalization(described["normalization"]),
                name=described["name"],
                dataset=described["dataset"],
                split=described["split"],
                num_classes=described["num_classes"],
            )
            expected = described["fingerprint"]
        if batch.fingerprint != expected:
            raise BadFileError(
                f"{os.fspath(path)} is damaged or was changed: its content has fingerprint "
                f"{batch.fingerprint}, its description says {expected}; draw the batch again"
            )
        return batch


def _check_description(described: dict[str, Any]) -> None:
    for key in ("name", "dataset", "split", "fingerprint"):
        if not isinstance(described[key], str):
            raise ValueError(f"its {key} is {described[key]!r}; expected is text")
    classes = described["num_classes"]
    if classes is not None and (type(classes) is not int or not 1 <= classes <= MAX_CLASSES):
        raise ValueError(f"its num_classes is {classes!r}; allowed is 1..{MAX_CLASSES}")


def _check_images(images: Tensor) -> None:
    if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {list(images.shape)}; allowed is floating point "
            "of shape [B, 3, H, W], normalised (repeat a grey channel three times)"
        )
    if images.numel() == 0:
        raise ValueError(f"images of shape {list(images.shape)} are empty; give at least one")
    broken = torch.nonzero(~torch.isfinite(images).flatten(1).all(1)).flatten()
    if len(broken):
        raise ValueError(
            f"{len(broken)} of {len(images)} images hold NaN or infinite values, the first at "
            f"index {int(broken[0])}; repair or remove them"
        )


def _tensors(images: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
    tensors = {"images": images.contiguous()}
    if labels is not None:
        tensors["labels"] = labels.cpu().contiguous()
    return tensors


def _normalization(described: dict[str, list[float]] | None) -> Normalization | None:
    if described is None:
        return None
    mean, std = ((red, green, blue) for red, green, blue in (described["mean"], described["std"]))
    return Normalization(mean, std)
