"""Auto-Prox (Wei et al., AAAI 2024), whose models are written with pycls: the subnets of
ViT-Bench-101."""

from __future__ import annotations

from tvtfast.models.renames.base import RenameMap, same
from tvtfast.models.renames.pit import pit_pairs

_AUTOFORMER = (
    ("patch_embed.projection.*", "patch_embed.proj.*"),
    ("blocks.#.attn.qkv_transform.*", "blocks.#.attn.qkv.*"),
    ("blocks.#.attn.projection.*", "blocks.#.attn.proj.*"),
    ("distill_token", "dist_token"),
    ("distill_head.*", "head_dist.*"),
    *same("cls_token", "pos_embed", "norm.*", "head.*"),
    *same("blocks.#.norm1.*", "blocks.#.norm2.*", "blocks.#.mlp.fc1.*", "blocks.#.mlp.fc2.*"),
)

MAPS = (
    RenameMap("auto-prox", "AutoFormer", _AUTOFORMER, options={"pool": "avg"}),
    RenameMap(
        "auto-prox",
        "PiT",
        pit_pairs("qkv_transform", "projection", "distill_head"),
        options={"pool": "token"},
        joined_tokens=True,
    ),
)
