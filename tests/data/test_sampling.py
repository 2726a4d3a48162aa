"""Class-balanced draws, random state and content hashes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast.data import fingerprint
from tvtfast.data.sampling import balanced_indices
from tvtfast.data.seeding import local_rng

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(torch.tensor)


@settings(deadline=None)
@given(labels=LABELS, seed=st.integers(0, 2**70), data=st.data())
def test_one_of_each_class_before_a_second_of_any(
    labels: torch.Tensor, seed: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(labels)))
    chosen = balanced_indices(labels, count, seed)
    assert len(set(chosen)) == count
    available, drawn = labels.bincount(minlength=7), labels[chosen].bincount(minlength=7)
    most = int(drawn.max())
    for in_set, in_draw in zip(available.tolist(), drawn.tolist(), strict=True):
        assert in_draw >= min(in_set, most - 1)


@settings(deadline=None)
@given(labels=LABELS, seed=st.integers(0, 1000))
def test_a_smaller_draw_is_the_beginning_of_a_larger_one(labels: torch.Tensor, seed: int) -> None:
    whole = balanced_indices(labels, len(labels), seed)
    assert balanced_indices(labels, len(labels) // 2 + 1, seed) == whole[: len(labels) // 2 + 1]


def test_the_draw_never_changes() -> None:
    assert balanced_indices(torch.arange(12) % 3, 6, seed=0) == [11, 1, 9, 8, 10, 0]


def test_classes_are_equally_likely_however_rare() -> None:
    labels = torch.tensor([0] * 95 + [1] * 5)
    rare = sum(int(labels[balanced_indices(labels, 1, seed)[0]]) for seed in range(400))
    # binomial(400, 0.5): five standard deviations are 50
    assert 150 < rare < 250


def _states() -> tuple[object, list[int], list[int]]:
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def _draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_local_rng_is_reproducible_and_restores_the_state() -> None:
    before = _states()
    draws = []
    for key in ((0,), (0, 0), (1,), (0, 1), (2**80,)):
        with local_rng(*key):
            draws.append(_draw())
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4
    with pytest.raises(KeyError), local_rng(0):
        _draw()
        raise KeyError
    assert _states() == before


def test_fingerprint_sees_every_byte_the_dtype_and_the_shape() -> None:
    tensor = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    original = fingerprint(tensor)
    assert original == fingerprint(tensor.clone())
    assert len(original) == 64
    changed = {original}
    raw = tensor.clone().view(torch.uint8).reshape(-1)
    for position in range(len(raw)):
        raw[position] ^= 1
        changed.add(fingerprint(raw.view(torch.float32).reshape(2, 3, 4)))
        raw[position] ^= 1
    assert len(changed) == len(raw) + 1
    others = (tensor.reshape(3, 2, 4), tensor.view(torch.int32), tensor.bfloat16(), -tensor)
    assert original not in {fingerprint(other) for other in others}


def test_fingerprint_ignores_memory_layout() -> None:
    tensor = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert fingerprint(tensor.to(memory_format=torch.channels_last)) == fingerprint(tensor)
    assert fingerprint(tensor.mT.contiguous().mT) == fingerprint(tensor)


def test_fingerprint_of_scalars_empty_and_several_tensors() -> None:
    scalar, empty = torch.tensor(1.5), torch.zeros(0, 3)
    prints = {fingerprint(scalar), fingerprint(empty), fingerprint(empty.T), fingerprint()}
    prints |= {fingerprint(scalar, empty), fingerprint(empty, scalar)}
    assert len(prints) == 6
