"""Races: who goes out, on what evidence, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest

from tvtfast.scoring.race import Rung, race, rung_sizes


def matrix(n, images, seed, noise):
    """Scores of candidates half a unit apart: image effects as large as all candidates differ, and
    noise of a known deviation."""
    rng = np.random.default_rng(seed)
    return (
        rng.permutation(n)[:, None] * 0.5
        + rng.normal(0, n / 2, images)
        + rng.normal(0, noise, (n, images))
    )


def run(scores, top_k=10, known=None, **options):
    """A race over proxies ``[P, n, N]``, or one proxy ``[n, N]``."""
    scores = scores.reshape(-1, *scores.shape[-2:])
    known = np.zeros(scores.shape[1]) if known is None else known
    return race(
        lambda rows, images: scores[:, rows][:, :, images],
        known,
        scores.shape[2],
        top_k=top_k,
        scaled=len(scores) > 1 or bool(known.any()),
        **options,
    )


def best(values, top_k=10):
    return set(np.argsort(-values)[:top_k].tolist())


@pytest.mark.parametrize(
    ("images", "rungs"),
    [
        (4, (2, 4)),
        (5, (2, 4, 5)),
        (16, (2, 4, 6, 9, 16)),
        (32, (2, 4, 6, 9, 14, 21, 32)),
        (64, (4, 8, 12, 18, 27, 41, 64)),
    ],
)
def test_rungs(images, rungs):
    assert rung_sizes(images) == rungs


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_the_best_are_found_about_as_often_as_stated(noise):
    """At 98 % two-sided a true member goes out of one comparison with probability 1 %; there are
    six rungs and few members near the edge, so 95 % of races are right, and at least 90 of 100."""
    right, shares = 0, []
    for seed in range(100):
        scores = matrix(60, 32, seed, noise)
        found = run(scores, seed=seed)
        right += best(scores.mean(axis=1)) <= set(np.flatnonzero(found.complete).tolist())
        shares.append(found.summary.share)
    assert right >= 90
    assert np.mean(shares) < (0.35 if noise == 1 else 0.6)


def test_wider_noise_takes_more_images():
    shares = [run(matrix(60, 32, 0, noise)).summary.share for noise in (0.5, 4.0, 100.0)]
    assert shares == sorted(shares) and shares[-1] > 0.8


def test_nothing_is_measured_twice_or_for_those_that_went_out():
    scores = matrix(40, 16, 1, 1.0)
    asked = np.zeros(scores.shape, dtype=int)

    def measure(rows, images):
        asked[np.ix_(rows, images)] += 1
        return scores[None, rows][:, :, images]

    found = race(measure, np.zeros(40), 16, top_k=5, scaled=False)
    assert asked.max() == 1 and asked.sum() == found.summary.passes
    assert (asked.sum(axis=1) == found.seen).all()
    assert found.summary.rungs[0] == Rung(2, 40)
    counts = [rung.candidates for rung in found.summary.rungs]
    assert counts == sorted(counts, reverse=True) and 5 <= counts[-1] < 40


def test_images_come_in_an_order_that_the_seed_decides():
    scores = matrix(20, 16, 2, 1.0)
    assert run(scores, seed=1).order == run(scores, seed=1).order != run(scores, seed=2).order
    assert sorted(run(scores).order) == list(range(16))


@pytest.mark.parametrize("top_k", [20, 50])
def test_all_are_complete_where_all_are_wanted(top_k):
    found = run(matrix(20, 16, 3, 1.0), top_k=top_k)
    assert found.complete.all() and found.summary.share == 1.0


def test_equal_candidates_stay_together():
    scores = np.repeat(matrix(10, 16, 4, 0.1), 4, axis=0)
    found = run(scores, top_k=2)
    by_group = found.complete.reshape(10, 4)
    assert (by_group.all(axis=1) == by_group.any(axis=1)).all() and not by_group.all()


def test_estimates_cancel_what_images_have_in_common():
    """Without noise every estimate is exact, however few images were seen, and means of the images
    seen are not."""
    scores = matrix(40, 32, 5, 0.0)
    found = run(scores, top_k=5)
    full = scores.mean(axis=1)
    assert (~found.complete).sum() > 20
    np.testing.assert_allclose(found.means(scores), full, rtol=0, atol=1e-9)
    first = list(found.order[:2])
    assert abs(scores[:, first].mean(axis=1) - full).max() > 1


def test_complete_candidates_have_their_very_means():
    scores = matrix(40, 32, 6, 2.0)
    found = run(scores)
    means = found.means(scores)
    assert (means[found.complete] == scores.mean(axis=1)[found.complete]).all()


def test_spans_are_those_of_full_scoring():
    """The lowest and the highest stay in a race of several proxies, and out of it otherwise."""
    scores = matrix(60, 32, 7, 0.01)
    known = np.linspace(0, 1, 60)
    found = run(scores, known=known)
    full = scores.mean(axis=1)
    assert np.ptp(full[found.complete]) == np.ptp(full)
    assert not run(scores).complete[np.argmin(full)]


def test_two_proxies_and_a_sum_find_the_best_of_full_scoring():
    right = 0
    for seed in range(40):
        scores = np.stack([matrix(60, 32, 2 * seed, 1.0), 50 * matrix(60, 32, 2 * seed + 1, 1.0)])
        known = np.random.default_rng(seed).uniform(0, 1, 60)
        known /= np.ptp(known)
        found = run(scores, known=known)
        full = scores.mean(axis=2)
        combined = (full / np.ptp(full, axis=1, keepdims=True)).sum(axis=0) + known
        right += best(combined) <= set(np.flatnonzero(found.complete).tolist())
    assert right >= 35


def test_values_that_are_not_finite_go_out_and_spoil_nothing():
    scores = matrix(40, 16, 8, 0.5)
    scores[3] = np.nan
    scores[4, 5] = -np.inf
    known = np.zeros(40)
    known[6] = np.nan
    found = run(scores, known=known, top_k=5)
    assert not found.complete[[3, 6]].any()
    healthy = np.setdiff1d(np.arange(40), [3, 4, 6])
    wanted = healthy[np.argsort(-scores[healthy].mean(axis=1))[:5]]
    assert found.complete[wanted].all()
    means = found.means(scores)
    assert np.isnan(means[3]) and np.isfinite(means[healthy]).all()


def test_a_value_that_fails_on_the_last_image_spoils_no_estimate():
    scores = matrix(40, 16, 9, 0.5)
    found = run(scores, top_k=5)
    scores[np.flatnonzero(found.complete)[0], found.order[-1]] = np.nan
    means = run(scores, top_k=5).means(scores)
    assert np.isnan(means).sum() == 1


def test_no_finite_value_at_all():
    found = run(np.full((40, 16), np.nan))
    assert not found.complete.any() and found.summary.passes == 80
    assert np.isnan(found.means(np.full((40, 16), np.nan))).all()
