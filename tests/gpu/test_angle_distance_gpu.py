"""The distance of angles in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import gram
from tvtfast.kernels.angle_distance import reference as reference_angle_distance
from tvtfast.kernels.dispatch import OPERATORS

from .tensors import random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("samples", (1, 2, 31, 64, 65, 128))
@pytest.mark.parametrize("shared", (1, 3))
def test_angle_distance(samples: int, shared: int) -> None:
    student, teacher = (
        gram(random(matrices, samples, 500), relative=True, backend="reference")
        for matrices in (3, shared)
    )
    actual = torch.ops.tvtfast.angle_distance(student, teacher, backend="triton")
    exact = reference_angle_distance.forward(student.double(), teacher.double())
    squared = reference_angle_distance.squared_distances(teacher)
    closest = torch.where(squared > 0, squared, torch.inf).min()
    spread = 2 * teacher.max() / closest if samples > 1 else 0
    bound = OPERATORS["angle_distance"].tolerance(torch.float32, samples)
    assert ((actual - exact).abs() <= bound * spread).all()
