"""PiT (Heo et al., ICCV 2021), in which its descendants agree."""

from __future__ import annotations

from tvtfast.models.renames.base import Pair, same

POOLS = same("pools.#.conv.*", "pools.#.fc.*")


def pit_pairs(
    qkv: str, proj: str, head_dist: str, pools: tuple[Pair, ...] = POOLS
) -> tuple[Pair, ...]:
    """Pairs of a PiT.

    Args:
        qkv: Name of the projection to queries, keys and values there.
        proj: Name of the projection after attention.
        head_dist: Name of the distillation head.
        pools: Pairs of what lies between stages.
    """
    block, here = "transformers.#.blocks.#", "stages.#.#"
    layers = ("norm1", "norm2", "mlp.fc1", "mlp.fc2")
    return (
        ("patch_embed.conv.*", "patch_embed.proj.*"),
        *((f"{block}.{layer}.*", f"{here}.{layer}.*") for layer in layers),
        (f"{block}.attn.{qkv}.*", f"{here}.attn.qkv.*"),
        (f"{block}.attn.{proj}.*", f"{here}.attn.proj.*"),
        *pools,
        (f"{head_dist}.*", "head_dist.*"),
        *same("cls_token", "pos_embed", "norm.*", "head.*"),
    )
