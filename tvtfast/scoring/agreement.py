"""Coefficients of agreement between columns, for all bootstrap resamples at once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""One value per candidate ``[n]``, or one per resample ``[1 + R]``, the candidates themselves
first."""

_BLOCK = 1 << 22
"""Pairs of candidates that are held at once."""


class Sample:
    """Bootstrap resamples of some candidates, and columns of their values.

    A resample is the number of times it holds each candidate, so that sums over its pairs are
    products of matrices; a candidate is tied with itself. Coefficients are NaN where all values of
    a column are equal, in the resample or altogether.

    Attributes:
        times: How often every resample holds a candidate ``[1 + R, n]``, the candidates themselves
            first.

    Args:
        n: Candidates.
        n_resamples: Resamples, which samples of as many candidates share.
        seed: Of the resamples.
    """

    def __init__(self, n: int, n_resamples: int, seed: int) -> None:
        drawn = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
        drawn += n * np.arange(n_resamples)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * n_resamples).reshape(n_resamples, n)
        # sums of these counts over one row of pairs are exact in fp32
        self.times = np.vstack([np.ones((1, n)), times]).astype(np.float32)
        self._columns: dict[str, _Column] = {}
        self._taus: dict[tuple[str, str], Floats] = {}

    def add(self, name: str, values: Floats) -> None:
        """Add a column of finite values ``[n]``; one that is there stays."""
        if name not in self._columns:
            self._columns[name] = _Column(values, self.times)

    def __getitem__(self, name: str) -> Floats:
        return self._columns[name].values

    def tau(self, first: str, second: str) -> Floats:
        """Kendall's tau-b ``[1 + R]``."""
        key = (min(first, second), max(first, second))
        if key not in self._taus:
            x, y = (self._columns[name] for name in key)
            self._taus[key] = _ratio(_concordant(x.values, y.values, self.times), x.pairs, y.pairs)
        return self._taus[key]

    def rho(self, first: str, second: str) -> Floats:
        """Spearman's rho ``[1 + R]``."""
        x, y = self._columns[first], self._columns[second]
        covered = (self.times * x.ranks * y.ranks).sum(axis=1)
        return _ratio(covered, x.rank_squares, y.rank_squares)

    def r(self, first: str, second: str) -> Floats:
        """Pearson's r ``[1 + R]``."""
        x, y = self._columns[first], self._columns[second]
        products = self.times @ (x.centred * y.centred) / len(x.values)
        found = _ratio(products - x.means * y.means, x.variances, y.variances)
        found[(x.pairs == 0) | (y.pairs == 0)] = np.nan
        return found


class _Column:
    """One column of a sample, with the sums that all its coefficients need.

    Args:
        values: ``[n]``.
        times: How often every resample holds a candidate ``[1 + R, n]``.
    """

    def __init__(self, values: Floats, times: npt.NDArray[np.float32]) -> None:
        self.values, self._times = values, times

    @cached_property
    def pairs(self) -> Floats:
        """Ordered pairs of different values ``[1 + R]``."""
        return _concordant(self.values, self.values, self._times)

    @cached_property
    def ranks(self) -> Floats:
        """Twice the rank of every candidate less that of the middle ``[1 + R, n]``; ties share a
        rank."""
        blocks = [self._times @ _signs(self.values, rows).T for rows in _blocks(len(self.values))]
        return np.hstack(blocks).astype(np.float64)

    @cached_property
    def rank_squares(self) -> Floats:
        """Sum of squares of `ranks` ``[1 + R]``."""
        squares: Floats = (self._times * self.ranks**2).sum(axis=1)
        return squares

    @cached_property
    def centred(self) -> Floats:
        """The values less their mean, in units of the largest difference from it."""
        values = self.values - self.values.mean()
        return values / (np.abs(values).max() or 1.0)

    @cached_property
    def means(self) -> Floats:
        """Of `centred` in every resample ``[1 + R]``."""
        return self._times @ self.centred / len(self.values)

    @cached_property
    def variances(self) -> Floats:
        """Of `centred` in every resample ``[1 + R]``."""
        squares: Floats = self._times @ self.centred**2 / len(self.values) - self.means**2
        return squares


def _concordant(x: Floats, y: Floats, times: npt.NDArray[np.float32]) -> Floats:
    """Concordant less discordant ordered pairs of every resample ``[1 + R]``."""
    found = np.zeros(len(times))
    for rows in _blocks(len(x)):
        signs = _signs(x, rows) * _signs(y, rows)
        found += np.einsum("rb,rb->r", times @ signs.T, times[:, rows], dtype=np.float64)
    return found


def _signs(x: Floats, rows: slice) -> npt.NDArray[np.float32]:
    """Signs of the differences between some values and all ``[rows, n]``."""
    return np.sign(x[rows, None] - x).astype(np.float32)


def _blocks(n: int) -> list[slice]:
    size = max(1, _BLOCK // n)
    return [slice(start, start + size) for start in range(0, n, size)]


def _ratio(covered: Floats, first: Floats, second: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = covered / np.sqrt(first * second)
    found[~np.isfinite(found)] = np.nan
    return found
