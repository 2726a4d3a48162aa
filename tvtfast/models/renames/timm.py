"""timm: ViT and DeiT (distilled ones, too), PiT, and Twins-SVT."""

from __future__ import annotations

from tvtfast.models.renames.base import RenameMap, same
from tvtfast.models.renames.pit import pit_pairs

_VIT = same(
    "cls_token",
    "dist_token",
    "pos_embed",
    "patch_embed.proj.*",
    *(f"blocks.#.{layer}.*" for layer in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")),
    "blocks.#.attn.qkv.*",
    "blocks.#.attn.proj.*",
    "norm.*",
    "head.*",
    "head_dist.*",
)
_PIT_POOLS = tuple(
    (f"transformers.{stage + 1}.pool.{layer}.*", f"pools.{stage}.{layer}.*")
    for stage in (0, 1)
    for layer in ("conv", "fc")
)
_TWINS = same(
    "patch_embeds.#.*",
    "pos_block.#.proj.0.*",
    *(f"blocks.#.#.{layer}.*" for layer in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")),
    *(f"blocks.#.#.attn.{layer}.*" for layer in ("qkv", "q", "kv", "sr", "norm", "proj")),
    "norm.*",
    "head.*",
)

MAPS = (
    RenameMap("timm", "AutoFormer", _VIT, options={"pool": "token"}),
    RenameMap(
        "timm",
        "PiT",
        pit_pairs("qkv", "proj", "head_dist", _PIT_POOLS),
        options={"pool": "token"},
        joined_tokens=True,
    ),
    RenameMap("timm", "VitasTwins", _TWINS),
)
