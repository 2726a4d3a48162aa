"""Linear regression on few observations: a prior slope, corrected by at most two other columns.

Every choice of columns, of how far their slopes may go and of the noise is a model with a posterior
in closed form. Models are averaged, with weights by their marginal likelihood: how well they
foretell observations from others, averaged over all ways to leave any number of them out (Fong and
Holmes, "On the marginal likelihood and cross-validation", Biometrika 2020). Before anything is
observed, every number of columns weighs the same, and so does every choice of that number (Scott
and Berger, Annals of Statistics 2010).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_CORRECTIONS = 2
"""Most columns that one model has beside the prior."""
_SLOPES = (0.25, 0.5, 1.0)
"""Standard deviations of the slopes of these columns."""
_NOISES = (0.1, 0.25, 0.5, 1.0)
"""Variances of what no column explains."""
_PRIOR_SLOPE, _PRIOR_SLOPE_SD = 0.7, 0.3
_INTERCEPT_SD = 0.5


@dataclass(frozen=True)
class Posterior:
    """What is known of intercept and slopes, averaged over models.

    Args:
        mean: ``[1 + d]``: intercept, slope of the prior, slopes of the other columns.
        covariance: ``[1 + d, 1 + d]``, within models and between them.
        noise: Variance of an observation about its mean.
        prior_alone: Weight of the models without corrections.
    """

    mean: Array
    covariance: Array
    noise: float
    prior_alone: float


@dataclass(frozen=True)
class _Model:
    used: tuple[int, ...]
    mean: Array
    covariance: Array
    noise: float
    log_weight: float


def fit(columns: Array, targets: Array) -> Posterior:
    """Average all models.

    Args:
        columns: ``[n, d]``; the first is the prior, the others have had what it explains of them
            taken out. All have a spread of about 1 over the population.
        targets: ``[n]``, of median 0 and spread 1.
    """
    design = np.column_stack([np.ones(len(columns)), columns])
    models = list(_models(design, targets))
    log_weights = np.array([model.log_weight for model in models])
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    size = design.shape[1]
    mean, second = np.zeros(size), np.zeros((size, size))
    for weight, model in zip(weights, models, strict=True):
        own = np.zeros(size)
        own[list(model.used)] = model.mean
        mean += weight * own
        second += weight * np.outer(own, own)
        second[np.ix_(model.used, model.used)] += weight * model.covariance
    return Posterior(
        mean,
        second - np.outer(mean, mean),
        float(weights @ [model.noise for model in models]),
        float(sum(w for w, model in zip(weights, models, strict=True) if len(model.used) == 2)),
    )


def _models(design: Array, targets: Array) -> Iterator[_Model]:
    others = range(2, design.shape[1])
    sizes = range(min(_CORRECTIONS, len(others)) + 1)
    for size in sizes:
        chosen = list(itertools.combinations(others, size))
        slopes = _SLOPES if size else (0.0,)
        log_prior = -math.log(len(sizes) * len(chosen) * len(slopes) * len(_NOISES))
        for subset, slope, noise in itertools.product(chosen, slopes, _NOISES):
            yield _model(design, targets, (0, 1, *subset), slope, noise, log_prior)


def _model(
    design: Array,
    targets: Array,
    used: tuple[int, ...],
    slope: float,
    noise: float,
    log_prior: float,
) -> _Model:
    """One model; the covariance of its observations is inverted by the matrix inversion lemma.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, eq. 2.8 and 2.30.
    """
    rows = design[:, list(used)]
    spreads = [_INTERCEPT_SD, _PRIOR_SLOPE_SD, *[slope] * (len(used) - 2)]
    start = np.array([0.0, _PRIOR_SLOPE, *[0.0] * (len(used) - 2)])
    covariance = np.linalg.inv(np.diag(1 / np.square(spreads)) + rows.T @ rows / noise)
    residuals = targets - rows @ start
    step = covariance @ (rows.T @ residuals) / noise
    log_determinant = len(targets) * math.log(2 * math.pi * noise) + 2 * np.log(spreads).sum()
    log_determinant -= np.linalg.slogdet(covariance).logabsdet
    errors = residuals @ (residuals - rows @ step) / noise
    likelihood = -0.5 * (log_determinant + errors)
    return _Model(used, start + step, covariance, noise, float(likelihood) + log_prior)
