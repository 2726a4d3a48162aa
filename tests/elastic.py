"""A small supernet with the layout that AutoFormer's has: every layer of the largest size, and
candidates that take slices of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

HEAD_DIM = 64
DISTANCES = 14


class RelativePositions(nn.Module):
    """Vectors of every pair of tokens, ``[T, T, D]``; row 0 is for the class token."""

    def __init__(self, generator):
        super().__init__()
        shape = (2 * DISTANCES + 2, HEAD_DIM)
        self.embeddings_table_v = nn.Parameter(torch.randn(shape, generator=generator) * 0.2)
        self.embeddings_table_h = nn.Parameter(torch.randn(shape, generator=generator) * 0.2)

    def forward(self, tokens):
        side = int((tokens - 1) ** 0.5)
        rows = torch.zeros(tokens, tokens, dtype=torch.long)
        columns = torch.zeros(tokens, tokens, dtype=torch.long)
        for i in range(1, tokens):
            for j in range(1, tokens):
                down = (j - 1) // side - (i - 1) // side
                right = (j - 1) % side - (i - 1) % side
                rows[i, j] = max(-DISTANCES, min(DISTANCES, down)) + DISTANCES + 1
                columns[i, j] = max(-DISTANCES, min(DISTANCES, right)) + DISTANCES + 1
        return self.embeddings_table_v[rows] + self.embeddings_table_h[columns]


class ElasticAttention(nn.Module):
    change_qkv = True

    def __init__(self, width, generator):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_embed_k = RelativePositions(generator)
        self.rel_pos_embed_v = RelativePositions(generator)

    def forward(self, x, heads):
        dim, inner, tokens = x.shape[-1], heads * HEAD_DIM, x.shape[1]
        # rows of q, of k and of v in turn; the bias is cut as if they lay one after another
        weight = torch.cat([self.qkv.weight[part : 3 * inner : 3, :dim] for part in range(3)])
        qkv = F.linear(x, weight, self.qkv.bias[: 3 * inner])
        q, k, v = qkv.unflatten(-1, (3, heads, HEAD_DIM)).permute(2, 0, 3, 1, 4)
        of_keys, of_values = self.rel_pos_embed_k(tokens), self.rel_pos_embed_v(tokens)
        logits = q @ k.transpose(-2, -1) + torch.einsum("bhid,ijd->bhij", q, of_keys)
        mixed = (logits * HEAD_DIM**-0.5).softmax(-1)
        heads_out = mixed @ v + torch.einsum("bhij,ijd->bhid", mixed, of_values)
        joined = heads_out.transpose(1, 2).flatten(2)
        return F.linear(joined, self.proj.weight[:dim, :inner], self.proj.bias[:dim])


class ElasticBlock(nn.Module):
    def __init__(self, width, hidden, generator):
        super().__init__()
        self.attn = ElasticAttention(width, generator)
        self.attn_layer_norm = nn.LayerNorm(width)
        self.ffn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x, heads, hidden):
        dim = x.shape[-1]
        x = x + self.attn(normed(self.attn_layer_norm, x), heads)
        y = F.linear(normed(self.ffn_layer_norm, x), self.fc1.weight[:hidden, :dim])
        y = F.gelu(y + self.fc1.bias[:hidden])
        return x + F.linear(y, self.fc2.weight[:dim, :hidden], self.fc2.bias[:dim])


class ElasticSupernet(nn.Module):
    """The class token is left out of the mean that the classifier reads."""

    gp = True

    def __init__(self, width=128, depth=3, ratio=2.0, patch=8, side=32, classes=5, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        tokens = (side // patch) ** 2 + 1
        self.patch_embed_super = nn.Module()
        self.patch_embed_super.proj = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        hidden = int(ratio * width)
        self.blocks = nn.ModuleList(ElasticBlock(width, hidden, generator) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        with torch.no_grad():
            for parameter in self.parameters():
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn * (0.3 if parameter.ndim == 1 else 0.08))
            for module in self.modules():
                if isinstance(module, nn.LayerNorm):
                    module.weight.add_(1.0)

    def set_sample_config(self, config):
        self.sample_config = config

    def tokens(self, images):
        config = self.sample_config
        dim = config["embed_dim"][0]
        stem = self.patch_embed_super.proj
        x = F.conv2d(images, stem.weight[:dim], stem.bias[:dim], stem.stride)
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token[..., :dim].expand(len(x), -1, -1), x), dim=1)
        x = x + self.pos_embed[..., :dim]
        choices = zip(self.blocks, config["num_heads"], config["mlp_ratio"], strict=False)
        for block, heads, ratio in choices:
            x = block(x, heads, int(dim * ratio))
        return x

    def forward(self, images):
        x = self.tokens(images)
        dim = x.shape[-1]
        pooled = normed(self.norm, x)[:, 1:].mean(dim=1)
        return F.linear(pooled, self.head.weight[:, :dim], self.head.bias)


def normed(norm, x):
    dim = x.shape[-1]
    return F.layer_norm(x, (dim,), norm.weight[:dim], norm.bias[:dim], norm.eps)


def config_of(arch):
    """An architecture as ``set_sample_config`` takes it."""
    return {
        "embed_dim": [arch.hidden_dim] * arch.depth,
        "layer_num": arch.depth,
        "mlp_ratio": list(arch.mlp_ratio),
        "num_heads": list(arch.num_heads),
    }
