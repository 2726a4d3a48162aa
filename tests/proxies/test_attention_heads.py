"""Entropy and similarity of heads against attention maps that are formed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError
from tvtfast.models.blocks import Attention
from tvtfast.proxies import UndefinedScoreError

PIT = spaces.get("pit")


def candidate():
    smallest = min(PIT.sample(20, 0), key=PIT.params)
    module = tvtfast.build(smallest, space=PIT, img_size=32, patch_size=8, seed=0).double()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, Attention):
                layer.qkv.weight.mul_(3)
    return module


def images(count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)


def maps(module, batch):
    """Attention weights of every layer, ``[B, H, N, N]``."""
    found = []

    def see(layer, inputs):
        q, k = layer.queries_and_keys(*inputs)
        found.append((q @ k.mT * layer.scale).softmax(-1).detach())

    handles = [
        layer.register_forward_pre_hook(see)
        for layer in module.modules()
        if isinstance(layer, Attention)
    ]
    with torch.no_grad():
        module.eval()(batch)
    for handle in handles:
        handle.remove()
    return found


def test_entropy_is_the_definition():
    module, batch = candidate(), images()
    shares = []
    for weights in maps(module, batch):
        rows = weights.flatten(0, 2).tolist()
        entropies = [-sum(p * math.log(p) for p in row) for row in rows]
        shares.append(np.mean(entropies) / math.log(weights.shape[-1]))
    found = proxies.attention_entropy(module, batch).item()
    assert 0.5 < found < 0.99 and found == pytest.approx(np.mean(shares), rel=1e-9)


def test_similarity_is_the_definition():
    module, batch = candidate(), images()
    layers = []
    for weights in maps(module, batch):
        heads = range(weights.shape[1])
        received = weights.sum(2).numpy()
        pairs = [
            np.corrcoef(image[a], image[b])[0, 1]
            for image in received
            for a, b in itertools.permutations(heads, 2)
        ]
        layers.append(np.mean(pairs))
    found = proxies.head_similarity(module, batch).item()
    assert found == pytest.approx(np.mean(layers), rel=1e-8)
    assert not proxies.get("head_similarity").higher_is_better


def test_equal_heads_are_alike():
    module = candidate()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, Attention):
                heads = layer.qkv.weight.unflatten(0, (3, layer.num_heads, -1))
                heads.copy_(heads[:, :1].clone().expand_as(heads))
                layer.qkv.bias.zero_()
    assert proxies.head_similarity(module, images()).item() == pytest.approx(1, rel=1e-9)


class OneHead(nn.Module):
    def forward(self, x):
        x = x.flatten(2).mT[:, None]
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)


def test_what_has_no_score_says_why():
    for score in (proxies.attention_entropy, proxies.head_similarity):
        with pytest.raises(UnsupportedModelError, match="called no attention"):
            score(nn.Flatten(), images())
    with pytest.raises(UndefinedScoreError, match="one head or one token"):
        proxies.head_similarity(OneHead(), images()[:, :, :4, :4])
