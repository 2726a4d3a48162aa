"""How the attention of a module is laid out: heads, windows, and whether it is between tokens."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tvtfast.models.attention_calls import Caller


class NoTokenAttention(Exception):
    """Why what a module does is not reported as attention between tokens."""


@dataclass(frozen=True)
class AttentionLayer:
    """What statistics of one layer stand for.

    Attributes:
        heads: Heads H.
        windows: Windows per image, each with attention of its own; 1 where all tokens see each
            other. Statistics have ``B * windows`` entries, those of one image side by side.
        queries: Tokens of a window that attend.
        keys: Tokens of a window that are attended to; fewer than queries where keys are pooled.
    """

    heads: int
    windows: int
    queries: int
    keys: int


BETWEEN_TOKENS = frozenset(
    {
        "timm.attention.Attention",
        "timm.attention2d.Attention2d",
        "timm.beit.Attention",
        "timm.cait.ClassAttn",
        "timm.eva.EvaAttention",
        "timm.levit.Attention",
        "timm.levit.AttentionDownsample",
        "timm.maxxvit.AttentionCl",
        "timm.mvitv2.MultiScaleAttention",
        "timm.swin_transformer.WindowAttention",
        "timm.swin_transformer_v2.WindowAttention",
        "timm.tiny_vit.Attention",
        "timm.twins.GlobalSubSampleAttn",
        "timm.twins.LocallyGroupedAttn",
        "timm.vision_transformer_relpos.RelPosAttention",
        "timm.vision_transformer_sam.Attention",
        "timm.volo.Attention",
        "timm.volo.ClassAttention",
        "torch.activation.MultiheadAttention",
        "torchvision.swin_transformer.ShiftedWindowAttention",
        "tvtfast.asvit.WindowAttention",
        "tvtfast.blocks.Attention",
        "tvtfast.blocks.RelativePositionAttention",
        "tvtfast.vitas_twins.SubsampledAttention",
        "tvtfast.vitas_twins.WindowAttention",
    }
)
"""Modules that are known to attend between tokens, by package, file and class; of others it must be
seen in their shapes."""

OTHERWISE = {
    "timm.cait.TalkingHeadAttn": "it mixes the weights of its heads, so none attends by itself",
    "timm.davit.ChannelAttention": "it attends between channels",
    "timm.davit.ChannelAttentionV2": "it attends between channels",
    "timm.diff_attention.DiffAttention": "it attends by the difference of two maps",
    "timm.edgenext.CrossCovarianceAttn": "it attends between channels",
    "timm.halo_attn.HaloAttn": "its heads and blocks share an axis",
    "timm.volo.OutlookAttention": "its weights are made of single tokens; there are no keys",
    "timm.xcit.XCA": "it attends between channels",
}
"""Why modules have no attention between tokens that could be reported."""

_HEADS = ("num_heads", "num_attention_heads", "heads")


def kind(module: nn.Module) -> str:
    """Package, file and class of a module."""
    home = type(module)
    path = home.__module__.split(".")
    return f"{path[0]}.{path[-1]}.{home.__name__}"


def heads_second(caller: Caller, x: Tensor) -> Tensor:
    """``[*, N, M]`` as ``[b, H, N, M]`` with the entries of one image side by side in ``b``.

    Raises:
        NoTokenAttention: It cannot be told which axis is that of the heads.
    """
    stated = [getattr(caller.module, name, None) for name in _HEADS]
    heads = next((count for count in stated if isinstance(count, int)), None)
    shape = tuple(x.shape)
    if x.dim() == 4 and heads in (None, shape[1]):
        return x
    if x.dim() == 3 and heads is not None and shape[0] % heads == 0:
        return x.unflatten(0, (-1, heads))
    if x.dim() > 4:
        axes = [axis for axis in range(1, x.dim() - 2) if shape[axis] == heads]
        if len(axes) == 1:
            return x.movedim(axes[0], -3).flatten(0, -4)
    known = "it does not state its heads" if heads is None else f"it has {heads} heads"
    raise NoTokenAttention(
        f"{known}, and the shape {list(shape)} does not show which axis is theirs"
    )


def layer(
    caller: Caller, images: int, shape: tuple[int, ...], channels: int, *, formed: bool
) -> AttentionLayer:
    """The layout of weights ``[b, H, N, M]`` of so many images.

    Args:
        channels: Channels of a query or a value.
        formed: Whether the model forms the weights itself. A softmax can be that of features, as
            in linear attention, so keys must be tokens; the queries of
            ``scaled_dot_product_attention`` are enough.

    Raises:
        NoTokenAttention: It is not attention between tokens, or cannot be told from something else.
    """
    rows, heads, queries, keys = shape
    name = kind(caller.module)
    if name in OTHERWISE:
        raise NoTokenAttention(OTHERWISE[name])
    if images == 0 or rows % images:
        raise NoTokenAttention(f"{rows} windows do not divide among {images} images")
    found = AttentionLayer(heads, rows // images, queries, keys)
    if name in BETWEEN_TOKENS:
        return found
    tokens = _tokens(caller, images, shape)
    ends = (keys,) if formed else (keys, queries)
    if not tokens & {found.windows * count for count in ends}:
        raise NoTokenAttention(
            f"{found.windows} x {queries} rows attend to {keys} keys, which are not the"
            f" {' or '.join(map(str, sorted(tokens))) or 'unknown'} tokens per image it was given"
        )
    if keys == channels:
        raise NoTokenAttention(
            f"it has as many keys as a head has channels, {keys}, so tokens cannot be told from"
            " channels; use images of another size"
        )
    return found


def _tokens(caller: Caller, images: int, shape: tuple[int, ...]) -> set[int]:
    """Tokens per image of what the module was given: ``[*, N, C]``, ``[*, H, W, C]`` or
    ``[*, C, H, W]``; of what its caller was given where it was given queries or their products."""
    x = caller.given
    if caller.outer is not None and x is not None and x.shape[:3] == shape[:3]:
        x = caller.outer.given
    if x is None or x.dim() < 3 or x.numel() == 0:
        return set()
    widths = {x.shape[-1]} if x.dim() == 3 else {x.shape[-1], x.shape[-3]}
    return {x.numel() // (width * images) for width in widths}
