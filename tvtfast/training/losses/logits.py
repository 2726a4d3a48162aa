"""Distillation of a teacher's predictions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SoftDistillation(nn.Module):
    """``T^2 / (B K) sum_(b,k) p_t (log p_t - log p_s)``, with ``p = softmax(logits / T)``.

    ``forward(student_logits, teacher_logits)``, both ``[B, K]``, returns a scalar, fp64 for fp64
    logits and else fp32. The sum is divided by the number of entries, not of images, as published.
    Source: Hinton et al., 2015; Touvron et al., "DeiT", ICML 2021 (normalisation).

    Args:
        temperature: ``T``.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(f"temperature={temperature}: give a number above 0")
        self.temperature = temperature

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        check_classes(student_logits, teacher_logits)
        student, teacher = (
            torch.log_softmax(full_precision(logits) / self.temperature, dim=1)
            for logits in (student_logits, teacher_logits.detach())
        )
        divergence = F.kl_div(student, teacher, reduction="sum", log_target=True)
        return divergence * (self.temperature**2 / student.numel())


class HardDistillation(nn.Module):
    """``-mean_b log softmax(student_logits)_(b, y_b)`` with ``y_b = argmax_k teacher_logits_bk``.

    ``forward(student_logits, teacher_logits)``, both ``[B, K]``, returns a scalar, fp64 for fp64
    logits and else fp32. Source: Touvron et al., "DeiT", ICML 2021, section 4.
    """

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        check_classes(student_logits, teacher_logits)
        return F.cross_entropy(full_precision(student_logits), teacher_logits.argmax(dim=1))


def check_classes(student_logits: Tensor, teacher_logits: Tensor) -> None:
    """Raise ``ValueError`` where both do not predict the same classes."""
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"the student has logits {list(student_logits.shape)} and the teacher "
            f"{list(teacher_logits.shape)}; logit distillation needs a teacher of the same "
            "classes: train one on this data set, or distil features alone"
        )


def full_precision(logits: Tensor) -> Tensor:
    """Logits in fp64 where they are, else in fp32."""
    return logits if logits.dtype == torch.float64 else logits.float()
