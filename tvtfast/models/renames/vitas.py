"""ViTAS (Su et al., ECCV 2022): what its released code retrains."""

from __future__ import annotations

from tvtfast.models.renames.base import RenameMap

_STEM = "backbone_init_stem_Patch_init_0.0."
_BLOCK = "backbone_Block_Block_#.0."
_LAYERS = ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
_PAIRS = (
    *((f"{_STEM}{name}", name) for name in ("cls_token", "pos_embed", "patch_embed.proj.*")),
    *((f"{_BLOCK}{layer}.*", f"blocks.#.{layer}.*") for layer in _LAYERS),
    ("backbone_Norm_Norm_0.0.*", "norm.*"),
    ("backbone_FC_FC_0.0.module.0.*", "head.*"),
)

MAPS = (
    RenameMap(
        "vitas",
        "VitasDeit",
        (*((f"net.{theirs}", ours) for theirs, ours in _PAIRS), *_PAIRS),
        options={"softmax_scale": "released"},
        numbered_by_slot=True,
    ),
)
