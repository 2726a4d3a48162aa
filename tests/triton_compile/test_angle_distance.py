"""Compiled kernels of the distance of angles."""

from __future__ import annotations

import torch

from .compiling import Compiled, angle_distance, arguments_of


def test_angle_distance(compiled: Compiled) -> None:
    for samples in (17, 128):
        angle_distance.forward(
            arguments_of(
                "angle_distance", torch.empty(2, samples, samples), torch.empty(1, samples, samples)
            )
        )
    assert len({kernel.hash for kernel in compiled["_angle_kernel"]}) == 1
