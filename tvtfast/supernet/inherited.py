"""What a candidate scores with the weights of a trained superformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tvtfast.common.fallbacks import logger
from tvtfast.common.hashing import fingerprint
from tvtfast.data import VisionDataset, eval_transform, load_dataset
from tvtfast.proxies import (
    HARDLY_TRAINED,
    INHERITED_ACCURACY,
    TRAINED_STEPS,
    Proxy,
    ProxyInputs,
)
from tvtfast.supernet.folder import TrainedSuperformer, load_superformer
from tvtfast.supernet.relatives import Relatives

_BATCH = 256
_TOGETHER = 16


class InheritedAccuracy:
    """Top-1 accuracy in percent of candidates that inherit their weights.

    Where subnets have two sides (``bilateral``) it is the mean of both accuracies, as published.

    Args:
        superformer: A trained superformer.
        images: Held-out images; kept as a tensor on its device.
        limit: Take the first of them alone; default all.
        dtype: ``float32``, or ``bfloat16`` for autocast.

    Raises:
        ValueError: Images of another number of classes, or none.
    """

    def __init__(
        self,
        superformer: TrainedSuperformer,
        images: VisionDataset,
        *,
        limit: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.superformer, self.dtype = superformer, dtype
        self.coverage = superformer.coverage
        self._warned = False
        options = superformer.model.options
        if images.num_classes != options.num_classes:
            raise ValueError(
                f"the superformer knows {options.num_classes} classes and {images!r} has "
                f"{images.num_classes}; take the data set it was trained on"
            )
        count = len(images) if limit is None else min(limit, len(images))
        if count < 1:
            raise ValueError("there are no images to evaluate on; give at least one")
        transform = eval_transform(options.img_size[0], superformer.card.normalization)
        loader = DataLoader(images.with_transform(transform), batch_size=count)
        device = next(superformer.model.parameters()).device
        pixels, labels = next(iter(loader))
        self.images: Tensor = pixels.to(device)
        self.labels: Tensor = labels.to(device)

    def __call__(self, arch: Any, *, side: int | None = None) -> float:
        """Accuracy of one architecture, of one side or in the mean of all."""
        ((accuracy,),) = (found.values() for found in self.of_many([arch], side=side))
        return accuracy

    def of_many(
        self, archs: Sequence[Any], *, side: int | None = None
    ) -> Iterator[dict[int, float]]:
        """Accuracies of several architectures, equal to those of each alone.

        What architectures begin with in common is computed once (`Relatives`), among every 16 that
        stand next to each other when all are sorted by their genes.

        Args:
            archs: Architectures, in any encoding.
            side: One side, or the mean of all.

        Yields:
            Accuracies by place in ``archs``, for some architectures at a time.
        """
        model = self.superformer.model
        decoded = [self._decoded(arch) for arch in archs]
        self._warn_once(decoded)
        order = sorted(range(len(decoded)), key=lambda place: model.space.genes(decoded[place]))
        for start in range(0, len(order), _TOGETHER):
            places = order[start : start + _TOGETHER]
            accuracies = self._together([decoded[place] for place in places], side)
            yield dict(zip(places, accuracies, strict=True))

    def _warn_once(self, archs: Sequence[Any]) -> None:
        """Say of the first candidate with a part that was hardly trained what that is."""
        if self.coverage is None or self._warned:
            return
        for arch in archs:
            if hardly := self.coverage.hardly(arch):
                self._warned = True
                others = f" and {len(hardly) - 1} more" if hardly[1:] else ""
                logger.warning(
                    "the superformer hardly trained parts of %s: %s%s. What such candidates "
                    "inherit says little of them; the columns %s and %s tell which they are",
                    self.superformer.model.space.text(arch),
                    hardly[0],
                    others,
                    TRAINED_STEPS,
                    HARDLY_TRAINED,
                )
                return

    def _decoded(self, arch: Any) -> Any:
        space = self.superformer.model.space
        try:
            return space.check_inside(arch)
        except ValueError as error:
            raise ValueError(
                f"the superformer is of space {space.name!r}, which {arch!r} is not in ({error}); "
                f"give space={space.name!r}, or a superformer of the other space"
            ) from error

    @torch.no_grad()
    def _together(self, archs: Sequence[Any], side: int | None) -> list[float]:
        model = self.superformer.model
        passes = range(model.sides) if side is None else (side,)
        relatives = Relatives(model, archs)
        hits = torch.zeros(len(archs), dtype=torch.int64, device=self.labels.device)
        with torch.autocast(
            self.images.device.type, self.dtype, enabled=self.dtype != torch.float32
        ):
            for one in passes:
                for batch, labels in zip(
                    self.images.split(_BATCH), self.labels.split(_BATCH), strict=True
                ):
                    for rows, logits in relatives.logits(batch, one):
                        hits[rows] += (logits.argmax(dim=1) == labels).sum()
        return [100 * count / (len(self.labels) * len(passes)) for count in hits.tolist()]

    def proxy(self, name: str = INHERITED_ACCURACY.name) -> Proxy:
        """The accuracy as a column of `tvtfast.score` and `tvtfast.search`.

        Stored scores are those of these weights, images and number format. Beside it stand, not
        ranked, ``trained_steps`` (steps of training of the least trained value of a decision) and
        ``hardly_trained`` (how many of a candidate's values were hardly trained, see
        `tvtfast.supernet.coverage.HARDLY`), where the superformer's steps were counted.
        """
        return Proxy(
            name,
            self._compute,
            compute_many=self.of_many,
            depends_on=partial(dict, self._depends_on()),
            description=INHERITED_ACCURACY.description,
            beside=() if self.coverage is None else self._beside(),
        )

    def _beside(self) -> tuple[Proxy, ...]:
        superformer = partial(_superformer, self.superformer.fingerprint)
        return (
            Proxy(
                TRAINED_STEPS,
                self._trained_steps,
                depends_on=superformer,
                description="steps of training of a candidate's least trained choice",
            ),
            Proxy(
                HARDLY_TRAINED,
                self._hardly_trained,
                higher_is_better=False,
                depends_on=superformer,
                description="choices of a candidate that were hardly trained",
            ),
        )

    def _trained_steps(self, inputs: ProxyInputs) -> float:
        assert self.coverage is not None
        return float(self.coverage.least(self._decoded(inputs.arch)))

    def _hardly_trained(self, inputs: ProxyInputs) -> float:
        assert self.coverage is not None
        return float(len(self.coverage.hardly(self._decoded(inputs.arch))))

    def _compute(self, inputs: ProxyInputs) -> float:
        return self(inputs.arch)

    def _depends_on(self) -> dict[str, str]:
        return {
            "superformer": self.superformer.fingerprint,
            "images": fingerprint(self.images, self.labels),
            "dtype": str(self.dtype),
            "device": self.images.device.type,
        }


def _superformer(weights: str) -> dict[str, str]:
    return {"superformer": weights}


def proxy_of_folder(folder: str) -> Proxy:
    """The proxy ``inherited_accuracy:FOLDER``, on the CPU.

    Its images are the evaluation split of the data set that the superformer was trained on.
    `InheritedAccuracy` takes other images and other devices.

    Args:
        folder: A superformer folder.

    Raises:
        FileNotFoundError: It is none, or its data set is not where it was.
        CheckpointError: A file of it is damaged, or the weights do not fit.
        ValueError: It does not say where its images are.
    """
    loaded = load_superformer(Path(folder).expanduser())
    where = loaded.card.evaluation
    if where is None:
        raise ValueError(
            f"{folder} does not say where the images of {loaded.card.dataset!r} are that its "
            "superformer is evaluated on; give their path: tvtfast.supernet.InheritedAccuracy("
            f"load_superformer({folder!r}), load_dataset(NAME, PATH, split='eval')).proxy(), or on "
            f"the command line --supernet {folder} --data-set NAME --data-path PATH"
        )
    return InheritedAccuracy(loaded, load_dataset(**where, split="eval")).proxy()
