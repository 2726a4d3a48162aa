"""The counter of the released code of ViTAS, in whose unit its budgets are published.

Source: Su et al., "ViTAS: Vision Transformer Architecture Search", ECCV 2022, the released code.
"""

from __future__ import annotations

from collections.abc import Sequence


def original_flops(
    patch_size: int,
    embed_dim: int,
    blocks: Sequence[tuple[int, int]],
    *,
    img_size: int = 224,
    classes: int = 1000,
) -> int:
    """Multiply-adds as the released code of ViTAS counts them, and calls FLOPs.

    With ``N`` patches of side ``p``, width ``D`` and per block a total qkv width ``Q`` and an MLP
    width ``M``,

        3 N p^2 D + sum (N D Q + 2 N^2 Q/3 + N D Q/3 + 2 N D M) + N D classes

    The class token is left out, and the classifier counts once per patch. Published budgets are in
    this unit. The true cost is `Space.flops`, which counts two per multiply-add.

    Args:
        patch_size: Side of a patch in pixels.
        embed_dim: Embedding width.
        blocks: Total qkv width and MLP width of every block.
        img_size: Side of the image in pixels.
        classes: Width of the classifier.
    """
    tokens = (img_size // patch_size) ** 2
    total = 3 * tokens * patch_size**2 * embed_dim + tokens * embed_dim * classes
    for qkv, mlp in blocks:
        total += tokens * embed_dim * (qkv + qkv // 3 + 2 * mlp) + 2 * tokens**2 * (qkv // 3)
    return total
