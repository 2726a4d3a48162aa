"""What is too large for a grid of Triton, or for its indices, is declined with the reason."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels.angle_distance import triton as angle_distance
from tvtfast.kernels.attention_jvp import triton as attention_jvp
from tvtfast.kernels.attention_map import triton as attention_map
from tvtfast.kernels.attention_map_backward import triton as attention_map_backward
from tvtfast.kernels.attention_map_distance import triton as attention_map_distance
from tvtfast.kernels.attention_map_distances import triton as attention_map_distances
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.features.reasons import MOST_POSITIONS, extent_reasons
from tvtfast.kernels.self_attention_stats import triton as self_attention_stats

ROWS = 32
COLUMNS = MOST_POSITIONS // ROWS


def features(height: int, width: int) -> Tensor:
    return torch.empty(1, 1, 1, 1).expand(1, height, width, 1)


@pytest.mark.parametrize(
    ("operator", "module", "arguments"),
    [
        ("attention_map", attention_map, ()),
        ("attention_map_backward", attention_map_backward, (1, 1, 1)),
        ("attention_map_distance", attention_map_distance, (1,)),
        ("attention_map_distances", attention_map_distances, (1,)),
    ],
)
def test_positions(operator: str, module: object, arguments: tuple[int, ...]) -> None:
    """Programs of an image lie along y, of which there are 65,535, with 32 positions each."""
    for width, declined in ((COLUMNS, False), (COLUMNS + 1, True)):
        x = features(ROWS, width)
        first = [x] if operator.endswith("s") else x
        others = [torch.empty(1) for _ in arguments]
        call = OPERATORS[operator].call(first, *others, (ROWS, width))
        said = "; ".join(module.reasons(call))  # type: ignore[attr-defined]
        assert (f"positions (allowed: up to {MOST_POSITIONS})" in said) == declined


def test_axes_of_a_resize() -> None:
    assert extent_reasons(features(1, 2**15), (1, 2**14 - 1)) == ()
    assert extent_reasons(features(1, 2**15), (1, 2**15)) == ()  # nothing is resized
    (reason,) = extent_reasons(features(1, 2**15), (1, 2**14))
    assert f"multiply to {2**29} along an axis" in reason


def test_tokens_and_samples() -> None:
    for tokens, declined in ((65_535 * 16, False), (65_535 * 16 + 1, True)):
        q = torch.empty(1).expand(1, 1, tokens, 8)
        calls = {
            self_attention_stats: ("self_attention_stats", (q, q, None, 1.0, ["class_row"])),
            attention_jvp: ("attention_jvp", (*[q] * 6, 1.0)),
        }
        for module, (operator, arguments) in calls.items():
            said = "; ".join(module.reasons(OPERATORS[operator].call(*arguments)))
            assert ("tokens (allowed: up to 1048560)" in said) == declined
    for samples, declined in ((46_340, False), (46_341, True)):
        gram = torch.empty(1).expand(1, samples, samples)
        said = "; ".join(angle_distance.reasons(OPERATORS["angle_distance"].call(gram, gram)))
        assert ("samples (allowed: up to 46340)" in said) == declined
