"""Synaptic flow of deep transformers against arithmetic of any precision."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.proxies import UndefinedScoreError
from tvtfast.proxies.resolved_attention import RESOLVED, ResolvedAttention

SPACE = spaces.get("autoformer-tiny")
EXP = np.frompyfunc(mpmath.exp, 1, 1)
ERF = np.frompyfunc(mpmath.erf, 1, 1)
ABS = np.frompyfunc(abs, 1, 1)


def candidate(depth: int) -> nn.Module:
    """One with weights so large that products of queries and keys leave fp64's digits early."""
    settings = {"hidden_dim": 12, "depth": depth, "mlp_ratio": [2.0] * depth}
    arch = SPACE.decode(settings | {"num_heads": [1] * depth})
    found = tvtfast.build(arch, space=SPACE, img_size=16, patch_size=8, num_classes=3)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            parameter.mul_(40.0 if "blocks" in name else 1.0)
    return found.eval()


def exact_log_flow(module):
    """The definition, every derivative written out, with 150 digits."""
    p = {
        name: np.vectorize(mpmath.mpf, otypes=[object])(np.abs(tensor.detach().double().numpy()))
        for name, tensor in module.named_parameters()
    }
    depth = 1 + max(int(name.split(".")[1]) for name in p if name.startswith("blocks."))
    kernel = p["patch_embed.proj.weight"].reshape(12, -1)
    pixels = np.full((4, kernel.shape[1]), mpmath.mpf(1))
    tokens = pixels @ kernel.T + p["patch_embed.proj.bias"]
    x = np.concatenate([p["cls_token"][0], tokens]) + p["pos_embed"][0]
    kept = []
    for b in range(depth):
        w = {n.removeprefix(f"blocks.{b}."): p[n] for n in p if n.startswith(f"blocks.{b}.")}
        q, k, v = np.split(x @ w["attn.qkv.weight"].T + w["attn.qkv.bias"], 3, axis=1)
        scale = 1 / mpmath.sqrt(q.shape[1])
        products = q @ k.T * scale
        share = EXP(products - products.max(axis=1, keepdims=True))
        share = share / share.sum(axis=1, keepdims=True)
        mixed = share @ v
        middle = x + mixed @ w["attn.proj.weight"].T + w["attn.proj.bias"]
        hidden = middle @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]
        below = (1 + ERF(hidden / mpmath.sqrt(2))) / 2
        slope = below + hidden * EXP(-hidden * hidden / 2) / mpmath.sqrt(2 * mpmath.pi)
        kept.append((w, x, q, k, v, scale, share, mixed, middle, hidden * below, slope))
        x = middle + (hidden * below) @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
    last = np.full(3, mpmath.mpf(1))
    total = (p["head.weight"] * np.outer(last, x[1:].sum(axis=0) / 4)).sum()
    g = np.concatenate([x[:1] * 0, np.tile(last @ p["head.weight"] / 4, (4, 1))])

    def seen(weight, gradient, inputs):
        nonlocal total
        total += ABS(weight * (gradient.T @ inputs)).sum()
        return gradient @ weight

    for w, x, q, k, v, scale, share, mixed, middle, active, slope in reversed(kept):
        g = g + seen(w["mlp.fc1.weight"], seen(w["mlp.fc2.weight"], g, active) * slope, middle)
        through = seen(w["attn.proj.weight"], g, mixed)
        of_share = through @ v.T
        inner = share * (of_share - (share * of_share).sum(axis=1, keepdims=True)) * scale
        rows = np.concatenate([inner @ k, inner.T @ q, share.T @ through], axis=1)
        g = g + seen(w["attn.qkv.weight"], rows, x)
    seen(kernel, g[1:], pixels)
    return float(mpmath.log(total))


@pytest.mark.parametrize("depth", (2, 14))
def test_synflow_of_any_depth_is_that_of_exact_arithmetic(depth):
    module = candidate(depth)
    with mpmath.workdps(150):
        truth = exact_log_flow(module)
    assert proxies.synflow(module, img_size=16).item() == pytest.approx(truth, rel=1e-9)


def test_without_it_rounding_errors_grow_beyond_fp64(monkeypatch):
    """A PyTorch in which this fails needs no `ResolvedAttention` any more."""
    monkeypatch.setattr("tvtfast.proxies.resolved_attention.RESOLVED", math.inf)
    with pytest.raises(UndefinedScoreError):
        proxies.synflow(candidate(14), img_size=16)


def test_networks_of_many_blocks_have_scores():
    scores = [proxies.synflow(candidate(depth), img_size=16).item() for depth in (25, 50, 75)]
    first, second = np.diff(scores)
    assert second == pytest.approx(first, rel=0.02), "every block is a factor"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.tensor([[True, False, True]] * 5)},
        {"attn_mask": torch.tensor([[0.5, -1.0, -torch.inf]] * 5, dtype=torch.float64)},
        {"enable_gqa": True},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
def test_attention_of_small_products_is_that_of_torch(options):
    generator = torch.Generator().manual_seed(0)
    heads = 2 if options.get("enable_gqa") else 4
    shapes = ((4, 5, 8), (heads, 3, 8), (heads, 3, 8))
    inputs = [torch.randn(2, *s, generator=generator, dtype=torch.float64) for s in shapes]
    leaves = [x.requires_grad_() for x in inputs]
    truth = F.scaled_dot_product_attention(*leaves, **options)
    with ResolvedAttention():
        found = F.scaled_dot_product_attention(*leaves, **options)
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-14)
    for mine, theirs in zip(
        torch.autograd.grad(found.sin().sum(), leaves),
        torch.autograd.grad(truth.sin().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)


def test_rows_are_apart():
    """A row with a huge product passes nothing back; its neighbour does."""
    products = torch.tensor([[1.0, 2.0], [1.0, 4 * RESOLVED]], dtype=torch.float64)
    products.requires_grad_()
    with ResolvedAttention():
        (rows,) = torch.autograd.grad(products.softmax(-1)[:, 0].sum(), products, retain_graph=True)
        (columns,) = torch.autograd.grad(torch.softmax(products.T, 0)[0].sum(), products)
    assert rows[0].abs().min() > 0 and not rows[1].any()
    torch.testing.assert_close(rows, columns)


def test_products_beyond_fp64_have_weights():
    query = torch.full((1, 1, 2, 4), 1e200, dtype=torch.float64)
    value = torch.rand(1, 1, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[0.0, -torch.inf]] * 2, dtype=torch.float64)
    with ResolvedAttention():
        mixed = F.scaled_dot_product_attention(query, query, value)
        masked = F.scaled_dot_product_attention(query, query, value, mask)
    assert torch.allclose(mixed, value.mean(2, keepdim=True).expand_as(value))
    assert torch.equal(masked, value[:, :, :1].expand_as(value))


def test_activations_beyond_fp64_have_no_score():
    deep = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 1), *(nn.Linear(1, 1) for _ in range(60)))
    with torch.no_grad():
        for parameter in deep.parameters():
            parameter.fill_(1e6)
    with pytest.raises(UndefinedScoreError, match="logarithm of the synaptic flow is"):
        proxies.synflow(deep, img_size=16)
