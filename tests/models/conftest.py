"""What tests of attention statistics share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tvtfast.kernels import SelfAttentionStats


@pytest.fixture
def spread() -> Callable[[nn.Module], nn.Module]:
    """Weights large enough that attention is far from uniform."""

    def fill(model: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.2)
        return model.eval()

    return fill


@pytest.fixture
def assert_stats() -> Callable[..., None]:
    """Statistics are those of weights ``[B, H, N, M]``."""

    def check(actual: SelfAttentionStats, weights: Tensor, teacher: Tensor | None = None) -> None:
        torch.testing.assert_close(actual.class_row, weights[:, :, 0])
        torch.testing.assert_close(actual.column_sums, weights.sum(-2))
        entropy = torch.special.entr(weights).sum(-1)
        torch.testing.assert_close(actual.row_entropy, entropy, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(actual.head_mean, weights.mean(1))
        if teacher is not None:
            products = (weights @ teacher[:, None, :, None]).squeeze(-1)
            torch.testing.assert_close(actual.teacher_products, products)

    return check
