"""What a number is."""

import math

import numpy as np
import pytest
import torch

from tvtfast.common import checks


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_whole_numbers_of_any_library_are_taken(value):
    taken = checks.whole("trials", value, least=1, most=3)
    assert taken == 3 and type(taken) is int


@pytest.mark.parametrize(
    "value", [True, np.bool_(True), np.array(True), torch.tensor(True), 1.5, 2.0, "3", None, [3]]
)
def test_nothing_else_is_a_whole_number(value):
    with pytest.raises(ValueError, match="^trials is .*; give a whole number of at least 1$"):
        checks.whole("trials", value, least=1)


def test_ranges_are_named():
    with pytest.raises(ValueError, match="^top is 0; give a whole number of at least 1$"):
        checks.whole("top", 0, least=1)
    with pytest.raises(ValueError, match="^epochs is 9; give a whole number from 0 to 4$"):
        checks.whole("epochs", 9, least=0, most=4)


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, True, "a", None])
def test_seeds(value):
    with pytest.raises(ValueError, match="^seed is "):
        checks.seed(value)


def test_the_last_seed_leaves_room_for_those_that_follow():
    assert checks.seed(2**64 - 1) == 2**64 - 1
    with pytest.raises(ValueError, match=f"from 0 to {2**64 - 3}"):
        checks.seed(2**64 - 1, draws=3)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf, 0, -5, [1.0], 10**400])
def test_numbers(value):
    with pytest.raises(ValueError, match="^lr is .*; give a number above 0$"):
        checks.real("lr", value, above=0)


def test_numbers_of_any_library_are_taken():
    assert checks.real("lr", np.float32(0.5), above=0, below=1) == 0.5
    with pytest.raises(ValueError, match="give a number of at least 0 and below 1$"):
        checks.real("ema", 1, least=0, below=1)
    with pytest.raises(ValueError, match="at most 1"):
        checks.real("share", 2, most=1)


def test_choices():
    checks.choice("dtype", "float32", ("float32", "float64"))
    with pytest.raises(ValueError, match=r"dtype is 'float3'; allowed: float32.*did you mean"):
        checks.choice("dtype", "float3", ("float32", "float64"))
    with pytest.raises(ValueError, match="allowed: None, linear$"):
        checks.choice("guidance", 3, (None, "linear"))
