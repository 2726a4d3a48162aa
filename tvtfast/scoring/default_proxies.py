"""What candidates are ranked by where nobody says it."""

from __future__ import annotations

from tvtfast.spaces import Space

_TVT = ("teacher_aware", "weight_norm")
_OF_SPACE = {"pit": ("weight_norm",)}


def default_proxies(space: str | Space[object] | None) -> tuple[str, ...]:
    """TVT's two scores; in ``pit`` ``weight_norm`` alone.

    In ``pit`` TVT's ranking is below the parameter count, beyond chance, on all six accuracies of
    ViT-Bench-101, and ``weight_norm`` on none (`tvtfast.judgement`). The choice was made on those
    50 architectures, so their accuracies are no proof of it.

    Args:
        space: A space or its name; ``None`` for modules.
    """
    name = space.name if isinstance(space, Space) else space
    return _OF_SPACE.get(name or "", _TVT)
