"""What a candidate scores with the weights of a trained superformer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from tvtfast.common import checks
from tvtfast.common.fallbacks import logger
from tvtfast.data import VisionDataset
from tvtfast.data.sampling import balanced_indices
from tvtfast.proxies import (
    HARDLY_TRAINED,
    INHERITED_ACCURACY,
    TRAINED_STEPS,
    Proxy,
    ProxyInputs,
)
from tvtfast.supernet.evaluation_images import KEPT_BYTES, EvaluationImages
from tvtfast.supernet.folder import TrainedSuperformer, load_superformer
from tvtfast.supernet.held_out import held_out_images
from tvtfast.supernet.relatives import Relatives

_FREE = ("drop_path_rate",)
"""Model options that inherited accuracy does not depend on."""
_TOGETHER = 16
_GROUPS = 16


class InheritedAccuracy:
    """Top-1 accuracy in percent of candidates that inherit their weights.

    Where subnets have two sides (``bilateral``) it is the mean of both accuracies, as published.
    Images go through in batches of 256; `EvaluationImages` says what memory they take.

    Args:
        superformer: A trained superformer.
        images: Images that it was not trained on; default those that its training held out
            (`tvtfast.supernet.held_out_images`).
        count: Take so many of them, classes as even as they can be (as
            `tvtfast.data.frozen_batch` draws them); default all.
        seed: Of that choice.
        dtype: ``float32``, or ``bfloat16`` for autocast.
        memory: Most bytes of resized images that are kept; more are read again in every pass.
        workers: Processes that read images; they change no result.

    Attributes:
        images: The images, as an `EvaluationImages`.

    Raises:
        ValueError: Images of another number of classes, or fewer than ``count``; or as
            `tvtfast.supernet.held_out_images`.
    """

    def __init__(
        self,
        superformer: TrainedSuperformer,
        images: VisionDataset | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        memory: int = KEPT_BYTES,
        workers: int = 0,
    ) -> None:
        self.superformer, self.dtype = superformer, dtype
        self.coverage = superformer.coverage
        self._warned = False
        options = superformer.model.options
        if images is None:
            images = held_out_images(superformer.card)
        if images.num_classes != options.num_classes:
            raise ValueError(
                f"the superformer knows {options.num_classes} classes and {images!r} has "
                f"{images.num_classes}; take the data set it was trained on"
            )
        if count is not None:
            count = checks.whole("count", count, least=1, most=len(images))
            rows = sorted(balanced_indices(images.labels, count, checks.seed(seed)))
            images = images.chosen(rows, f"{images.split}-{count}-seed{seed}")
        side = options.img_size[0]
        normalization = superformer.card.normalization
        self.images = EvaluationImages(images, side, normalization, memory=memory, workers=workers)
        self._device = next(superformer.model.parameters()).device

    def __call__(self, arch: Any, *, side: int | None = None) -> float:
        """Accuracy of one architecture, of one side or in the mean of all."""
        ((accuracy,),) = (found.values() for found in self.of_many([arch], side=side))
        return accuracy

    def of_many(
        self, archs: Sequence[Any], *, side: int | None = None
    ) -> Iterator[dict[int, float]]:
        """Accuracies of several architectures, equal to those of each alone.

        What architectures begin with in common is computed once (`Relatives`), among every 16 that
        stand next to each other when all are sorted by their genes. Where images are read again in
        every pass, one pass serves 256 architectures.

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
        step = _TOGETHER if self.images.is_kept else _TOGETHER * _GROUPS
        for start in range(0, len(order), step):
            places = order[start : start + step]
            accuracies = self._pass([decoded[place] for place in places], side)
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
    def _pass(self, archs: Sequence[Any], side: int | None) -> list[float]:
        """Accuracies of architectures, from one pass over the images."""
        model, device = self.superformer.model, self._device
        sides = range(model.sides) if side is None else (side,)
        groups = [
            (start, Relatives(model, archs[start : start + _TOGETHER]))
            for start in range(0, len(archs), _TOGETHER)
        ]
        hits = torch.zeros(len(archs), dtype=torch.int64, device=device)
        for images, labels in self.images:
            batch, expected = images.to(device), labels.to(device)
            with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
                for one, (start, relatives) in product(sides, groups):
                    for rows, logits in relatives.logits(batch, one):
                        places = [start + row for row in rows]
                        hits[places] += (logits.argmax(dim=1) == expected).sum()
        return [100 * count / (len(self.images) * len(sides)) for count in hits.tolist()]

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
            model_options=self._model_options(),
            beside=() if self.coverage is None else self._beside(),
        )

    def _model_options(self) -> dict[str, Any]:
        """What candidates must be built with to be those of the superformer."""
        options = asdict(self.superformer.model.options) | {"img_size": self.images.img_size}
        return {name: value for name, value in options.items() if name not in _FREE}

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
            **self.images.identity,
            "dtype": str(self.dtype),
            "device": self._device.type,
        }


def _superformer(weights: str) -> dict[str, str]:
    return {"superformer": weights}


def proxy_of_folder(folder: str) -> Proxy:
    """The proxy ``inherited_accuracy:FOLDER``, on the CPU.

    Its images are those that the training of the superformer held out. `InheritedAccuracy` takes
    fewer of them, other images and other devices.

    Args:
        folder: A superformer folder.

    Raises:
        FileNotFoundError: It is none, or its data set is not where it was.
        CheckpointError: A file of it is damaged, or the weights do not fit.
        ValueError: As `tvtfast.supernet.held_out_images`.
    """
    return InheritedAccuracy(load_superformer(Path(folder).expanduser())).proxy()
