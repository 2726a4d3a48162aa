"""AutoFormer (Chen et al., ICCV 2021): its supernet, and the released subnets, which are supernets
of which a part was trained."""

from __future__ import annotations

from typing import Any

from torch import nn

from tvtfast.models.renames.base import RenameMap, same

PLAIN = (
    ("patch_embed_super.proj.*", "patch_embed.proj.*"),
    ("blocks.#.attn_layer_norm.*", "blocks.#.norm1.*"),
    ("blocks.#.ffn_layer_norm.*", "blocks.#.norm2.*"),
    ("blocks.#.fc1.*", "blocks.#.mlp.fc1.*"),
    ("blocks.#.fc2.*", "blocks.#.mlp.fc2.*"),
    *same("cls_token", "pos_embed", "norm.*", "head.*"),
    *same("blocks.#.attn.qkv.*", "blocks.#.attn.proj.*"),
)
RELATIVE_POSITIONS = (
    ("blocks.#.attn.rel_pos_embed_k.embeddings_table_v", "blocks.#.attn.key_rows"),
    ("blocks.#.attn.rel_pos_embed_k.embeddings_table_h", "blocks.#.attn.key_columns"),
    ("blocks.#.attn.rel_pos_embed_v.embeddings_table_v", "blocks.#.attn.value_rows"),
    ("blocks.#.attn.rel_pos_embed_v.embeddings_table_h", "blocks.#.attn.value_columns"),
)
NORM_EPS = 1e-5
"""PyTorch's own, in the norms of the supernet."""
_FORM = {"change_qkv": True, "pre_norm": True, "abs_pos": True, "scale": False}
"""Arguments of the supernet, and the values that models here have."""


def form(module: nn.Module) -> dict[str, Any]:
    """What the classifier of a supernet reads.

    Raises:
        ValueError: It was made with arguments that no model here has.
    """
    found = {name: getattr(module, name, wanted) for name, wanted in _FORM.items()}
    found["change_qkv"] = all(getattr(part, "change_qkv", True) for part in module.modules())
    for name, wanted in _FORM.items():
        if bool(found[name]) != wanted:
            raise ValueError(
                f"the supernet was made with {name}={found[name]}, and models of tvtfast compute "
                f"what one with {name}={wanted} does; train it so, as the released ones are"
            )
    return {"pool": "avg" if getattr(module, "gp", True) else "token"}


MAPS = (
    RenameMap(
        "autoformer",
        "AutoFormer",
        (*PLAIN, *RELATIVE_POSITIONS),
        options={"norm_eps": NORM_EPS, "pool": "avg"},
        interleaved_qkv=True,
        form=form,
    ),
)
