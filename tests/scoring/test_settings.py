"""What a scoring may be made of is known before it is used."""

from __future__ import annotations

import numpy as np
import pytest

import tvtfast
from tvtfast import spaces
from tvtfast.scoring import ScoreStore, Scoring

TINY = spaces.get("autoformer-tiny")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({"seed": wrong}, "seed is ") for wrong in (-1, 2**64, "a", None, 1.5, True)),
        ({"seed": 2**64 - 1, "init_seeds": 2}, "seed is 18446744073709551615; give a whole number"),
        *(({"init_seeds": wrong}, "init_seeds is ") for wrong in (0, -1, True, 1.0, "2")),
        *(({"batch_size": wrong}, "batch_size is ") for wrong in (0, True, 2.5, "8")),
        *(({"memory": wrong}, "memory is ") for wrong in (0, -1, True)),
        ({"dtype": "float8"}, "dtype is 'float8'; allowed: float32"),
        ({"dtype": ["float32"]}, "dtype is .*; allowed: float32"),
        ({"protocol": None}, "protocol is None; allowed: fixed, paper"),
        ({"on_error": "stop"}, "on_error is 'stop'; allowed: record, raise"),
    ],
)
def test_what_it_may_not_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Scoring(**settings)


def test_numbers_of_numpy_are_plain_ones():
    numbers = {"seed": 3, "init_seeds": 2, "batch_size": 8, "memory": 10**9}
    scoring = Scoring(**{name: np.int64(number) for name, number in numbers.items()})
    for name, number in numbers.items():
        assert getattr(scoring, name) == number and type(getattr(scoring, name)) is int
    arch = TINY.sample(1, 0)
    settings = {"space": TINY, "proxies": "weight_norm"}
    with ScoreStore() as store:
        tvtfast.score(arch, store=store, seed=3, **settings)
        scorer = tvtfast.Scorer(store=store, seed=np.int64(3), **settings)
        scorer(arch)
    assert scorer.evaluated == 0, "the keys are the same"
