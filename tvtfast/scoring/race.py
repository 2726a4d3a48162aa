"""Race candidates on ever more images: who cannot become one of the best is shown no more.

Scores that are means over images are known roughly after a few of them. After every rung each
candidate is compared with the ``top_k``-th best of the moment, image by image, since images differ
far more than candidates do; it goes out when the confidence interval of the mean difference lies
below zero. Nothing here knows models: a race asks for numbers and returns numbers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.98
"""Of the two-sided interval of a mean difference."""

MIN_IMAGES = 4
"""A batch with fewer images has no rung before the last."""

_PRIOR_DEGREES = 8
_ANCHORS = 2

Array: TypeAlias = "npt.NDArray[np.float64]"
Measure: TypeAlias = Callable[[Sequence[int], Sequence[int]], Array]
"""Scores ``[P, K, m]`` of ``P`` proxies, higher is better, for K rows and m images."""


@dataclass(frozen=True)
class Rung:
    """One round of a race.

    Args:
        images: Images that candidates were shown up to here.
        candidates: How many were shown them.
    """

    images: int
    candidates: int


@dataclass(frozen=True)
class RaceSummary:
    """What a race spent.

    Args:
        top_k: The best it looked for.
        rungs: From first to last.
        candidates: All that took part.
        images: Images of the whole batch.
    """

    top_k: int
    rungs: tuple[Rung, ...]
    candidates: int
    images: int

    @property
    def passes(self) -> int:
        """Images shown to candidates."""
        before = (0, *(rung.images for rung in self.rungs))
        return sum(
            rung.candidates * (rung.images - seen)
            for rung, seen in zip(self.rungs, before, strict=False)
        )

    @property
    def share(self) -> float:
        """Of the images that scoring every candidate on the whole batch shows."""
        return self.passes / (self.candidates * self.images)

    def describe(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "top_k": self.top_k,
            "confidence": CONFIDENCE,
            "rungs": [
                {"images": rung.images, "candidates": rung.candidates} for rung in self.rungs
            ],
            "image_passes": self.passes,
            "image_passes_of_full_scoring": self.candidates * self.images,
        }


@dataclass(frozen=True)
class Race:
    """How a race went.

    Args:
        order: The images in the order they were shown.
        seen: How many of them each candidate was shown, ``[n]``.
        summary: What it spent.
    """

    order: tuple[int, ...]
    seen: npt.NDArray[np.intp]
    summary: RaceSummary

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Candidates that were shown every image, ``[n]``."""
        return np.asarray(self.seen == len(self.order))

    def means(self, scores: Array) -> Array:
        """Mean of ``scores`` ``[n, N]`` over all images, ``[n]``; an estimate for candidates that
        were shown but some.

        .. math:: \\hat x_i = \\bar x_i - \\bar r_{B_i} + \\bar r

        with the images :math:`B_i` the candidate was shown and the mean :math:`r_b` of all that
        were shown every image (and scored finite values): that some images score higher for
        everyone cancels.
        """
        complete = self.complete
        means = np.empty(len(scores))
        means[complete] = scores[complete].mean(axis=1)
        sound = scores[complete & np.isfinite(scores).all(axis=1)]
        reference = sound.mean(axis=0) if len(sound) else np.zeros(len(self.order))
        with np.errstate(invalid="ignore"):
            for row in np.flatnonzero(~complete):
                shown = list(self.order[: self.seen[row]])
                means[row] = (scores[row, shown] - reference[shown]).mean() + reference.mean()
        return means


def rung_sizes(images: int) -> tuple[int, ...]:
    """Images seen after every rung: a sixteenth (2 at the least), twice that, then half as many
    again each time; a rung that leaves less than a fifth is the last."""
    sizes = [max(2, round(images / 16))]
    while sizes[-1] < images:
        size = 2 * sizes[0] if len(sizes) == 1 else int(1.5 * sizes[-1] + 0.5)
        sizes.append(size if size <= 0.8 * images else images)
    return tuple(sizes)


def race(
    measure: Measure, known: Array, images: int, *, top_k: int, scaled: bool, seed: int = 0
) -> Race:
    """Find the ``top_k`` best of many candidates.

    The combined score is ``known`` plus the sum of the measured proxies, each divided by its span
    over all candidates where ``scaled``. Spans come from candidates that are shown every image:
    those with the lowest and highest values stay for that. Candidates that have a value that is not
    finite go out.

    Args:
        measure: Gives the scores of some rows for some images; asked once per row and image.
        known: What is known of every combined score without images, ``[n]``.
        images: Number of images, at least `MIN_IMAGES`.
        top_k: Candidates to find; the best of the moment never go out.
        scaled: Whether proxies are divided by their spans.
        seed: Of the order of the images, so that it does not depend on their classes.

    Determinism: equal arguments and measurements give an equal race.
    """
    order = list(range(images))
    random.Random(seed).shuffle(order)
    alive = np.arange(len(known))
    seen = np.zeros(len(known), dtype=np.intp)
    values = np.empty((0, len(known), images))
    rungs: list[Rung] = []
    for start, stop in itertools.pairwise((0, *rung_sizes(images))):
        found = measure(alive.tolist(), order[start:stop])
        if not start:
            values = np.empty((len(found), *values.shape[1:]))
        values[:, alive, start:stop] = found
        seen[alive] = stop
        rungs.append(Rung(stop, len(alive)))
        if stop < images:
            stays = _stays(values[:, alive, :stop], known[alive], images, top_k, scaled)
            alive = alive[stays]
        if not len(alive):
            break
    return Race(tuple(order), seen, RaceSummary(top_k, tuple(rungs), len(known), images))


def _stays(
    values: Array, known: Array, images: int, top_k: int, scaled: bool
) -> npt.NDArray[np.bool_]:
    """Which of the candidates with scores ``[P, K, m]`` are shown more images."""
    stays = np.isfinite(values).all(axis=(0, 2)) & np.isfinite(known)
    rows = np.flatnonzero(stays)
    if len(rows) <= top_k:
        return stays
    values, known = values[:, rows], known[rows]
    means = values.mean(axis=2)
    spans = np.ptp(means, axis=1)[:, None, None] if scaled else np.ones((1, 1, 1))
    weights = np.divide(1.0, spans, out=np.zeros_like(spans), where=spans > 0)
    combined = (weights * values).sum(axis=0) + known[:, None]
    order = np.argsort(-combined.mean(axis=1), kind="stable")
    kept = _may_reach(combined, combined[order[top_k - 1]], images)
    kept[order[:top_k]] = True
    if scaled:
        for ascending in np.argsort(means, axis=1, kind="stable"):
            kept[ascending[:_ANCHORS]] = kept[ascending[-_ANCHORS:]] = True
    stays[rows] = kept
    return stays


def _may_reach(scores: Array, reference: Array, images: int) -> npt.NDArray[np.bool_]:
    """Whether the mean of ``scores`` ``[K, m]`` over all images may be that of ``reference``.

    The variance of the differences is shrunk towards the median of all candidates', as if that had
    been seen with `_PRIOR_DEGREES` degrees of freedom; the interval shrinks as fewer images are
    left, since the full score is the mean over these images and no others.
    """
    from scipy.stats import t

    seen = scores.shape[1]
    differences = scores - reference
    variance = differences.var(axis=1, ddof=1)
    typical = np.median(variance[differences.any(axis=1)]) if differences.any() else 0.0
    degrees = _PRIOR_DEGREES + seen - 1
    shrunk = (_PRIOR_DEGREES * typical + (seen - 1) * variance) / degrees
    left = (images - seen) / (images - 1)
    half_width = t.ppf(0.5 + CONFIDENCE / 2, degrees) * np.sqrt(shrunk / seen * left)
    return np.asarray(differences.mean(axis=1) + half_width >= 0)
