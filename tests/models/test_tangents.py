"""Duals against ``torch.func.jvp``, function by function."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.models.tangents import Dual, MissingRuleError, jvp

W = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def attention(x: Tensor, **options: object) -> Tensor:
    heads = torch.stack((x, x + 1, x * 2)).unsqueeze(2)
    q, k, v = heads.unbind(0)
    return F.scaled_dot_product_attention(q, k, v, **options)


FUNCTIONS = {
    "operators": lambda x: (2 - x) * 3 + x * x / 4 - x + (1 + x) - W[0, 0],
    "negative": lambda x: -x,
    "broadcast": lambda x: x[:, :1] + W[:5] + (W[:5] - x[:, :1]) * W[:5],
    "matmul": lambda x: x @ W.T @ W + W[:5, :].T.mT + x @ (x.transpose(1, 2) @ x),
    "shapes": lambda x: (
        x.permute(0, 2, 1).reshape(2, 2, -1).unsqueeze(1).expand(2, 3, 2, 10).mean()
    ),
    "views": lambda x: torch.cat([x.flatten(1), torch.stack([x, x], dim=1).sum((1, 3))], dim=1),
    "parts": lambda x: (
        x.chunk(2, dim=2)[1] + x.unbind(0)[0][:, 2:] + x.split(1, dim=1)[0][:, :, :1]
    ),
    "constants": lambda x: torch.cat((x.new_zeros(2, 1, 4), x, W.expand(2, 6, 4)), dim=1),
    "linear": lambda x: F.linear(x, W, W[:, 0]),
    "convolution": lambda x: F.conv2d(x[:, None], W[None, None, :3, :2], W[0, :1], stride=2),
    "padding": lambda x: F.pad(F.pad(x, (1, 0, 2, 1)), (0, 0)),
    "unfold": lambda x: F.unfold(x[:, None], 2, stride=2),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "tanh": torch.tanh,
    "softmax": lambda x: x.softmax(dim=-1) + F.softmax(x, dim=1),
    "layer norm": lambda x: F.layer_norm(x, (4,)) + F.layer_norm(x, (4,), W[0], W[1], 1e-3),
    "gather": lambda x: x.gather(2, torch.zeros(2, 5, 3, dtype=torch.int64)),
    "scatter": lambda x: x.new_zeros(2, 5, 9).scatter_add(2, torch.full((2, 5, 4), 3), x),
    "attention": attention,
    "scaled attention": lambda x: attention(x, scale=0.1),
    "masked attention": lambda x: attention(x, attn_mask=torch.tensor([1, 0, 1, 1, 0]).bool()),
    "biased attention": lambda x: attention(x, attn_mask=W[:5, :1]),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "modules": nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4), nn.Tanh()).double(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rules(name: str) -> None:
    function = FUNCTIONS[name]
    x, dx = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    expected = jvp(function, x, dx, by_hand=False)
    with torch.no_grad():
        found = function(Dual(x, dx))
    assert found.shape == expected[0].shape
    torch.testing.assert_close(found.value, expected[0])
    torch.testing.assert_close(found.tangent, expected[1])


UNKNOWN = {
    "function": torch.sinh,
    "power": lambda x: x**2,
    "divisor": lambda x: 1 / (x + 9),
    "filler": lambda x: F.pad(x, (1, 1), value=2.0).sinh(),
    "dual weight": lambda x: F.linear(x, x[0]),
    "causal": lambda x: attention(x, is_causal=True),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown_is_left_to_pytorch(name: str) -> None:
    x, dx = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    with pytest.raises(MissingRuleError):
        UNKNOWN[name](Dual(x, dx))
    torch.testing.assert_close(
        jvp(UNKNOWN[name], x, dx, by_hand=True), jvp(UNKNOWN[name], x, dx, by_hand=False)
    )


def test_a_dual_says_what_its_value_is() -> None:
    x = torch.randn(2, 3)
    dual = Dual(x, x)
    assert (dual.shape, dual.ndim, dual.dtype, dual.size(1)) == (x.shape, 2, x.dtype, 3)
    with pytest.raises(AttributeError, match="no attribute 'grad_fn'"):
        _ = dual.grad_fn
