"""The public functions over tensors, with arguments for each, and how PyTorch's tools go with them.

``python tests/kernels/functions.py`` writes the table of ``docs/kernels.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tvtfast import kernels

PAGE = Path(__file__).parents[2] / "docs" / "kernels.md"


def parts(value: Any) -> Iterator[Any]:
    """What stands in nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from parts(part)
    else:
        yield value


def tensors(value: Any) -> list[Tensor]:
    return [x for x in parts(value) if isinstance(x, Tensor) and x.is_floating_point()]


def filled(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The arguments with every floating tensor changed."""
    if isinstance(value, (tuple, list)):
        return [filled(part, change) for part in value]
    return change(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def ramp(x: Tensor) -> Tensor:
    """Another number for every entry of ``x``."""
    return torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view_as(x)


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def statistics(q: Tensor, k: Tensor, teacher: Tensor) -> list[Tensor]:
    names = ("class_row", "column_sums", "row_entropy", "head_mean")
    return [*kernels.self_attention_stats(q, k, teacher=teacher, statistics=names)]


SLICES = [(6, 4), (2, 3), (0, 4), (6, 1), (2, 3)]
RELATIONS = {
    name: (getattr(kernels, name), lambda: [rand(4, 3, 5), rand(4, 3, 5)])
    for name in kernels.__all__
    if name.startswith("relation_")
}
FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[], list[Tensor]]]] = {
    **RELATIONS,
    "attention_block": (
        lambda *given: kernels.attention_block(*given, num_heads=2, heads=(1, 2)),
        lambda: [rand(2, 5, 4), rand(12, 4), rand(12), rand(4, 4), rand(4)],
    ),
    "attention_jvp": (kernels.attention_jvp, lambda: [*rand(6, 2, 2, 5, 4)]),
    "attention_map": (
        lambda x: kernels.attention_map(x, size=(4, 5)),
        lambda: [rand(2, 6, 3, 3)],
    ),
    "attention_map_distance": (
        kernels.attention_map_distance,
        lambda: [rand(2, 6, 3, 3), rand(2, 9).abs()],
    ),
    "attention_map_distances": (
        lambda a, b, teacher: kernels.attention_map_distances([a, b], teacher),
        lambda: [rand(2, 6, 3, 3), rand(2, 4, 3, 3), rand(2, 9).abs()],
    ),
    "gram": (kernels.gram, lambda: [rand(2, 4, 5), rand(2, 3, 5)]),
    "layer_norm": (kernels.layer_norm, lambda: [rand(3, 5)]),
    "linear": (
        lambda x, w, b, r: kernels.linear(x, w, b, norm_eps=1e-5, gelu=True, residual=r),
        lambda: [rand(3, 5), rand(4, 5), rand(4), rand(3, 4)],
    ),
    "mlp_block": (
        lambda *given: kernels.mlp_block(*given, hidden=(3, 8)),
        lambda: [rand(3, 4), rand(8, 4), rand(8), rand(4, 8), rand(4)],
    ),
    "packed_attention": (lambda x: kernels.packed_attention(x, 2), lambda: [rand(2, 5, 12)]),
    "sample_gram": (kernels.sample_gram, lambda: [rand(3, 4, 5), rand(3, 4, 2)]),
    "segment_norms": (
        lambda *given: kernels.segment_norms(given),
        lambda: [rand(3, 4), rand(5), rand(2, 2)],
    ),
    "self_attention_stats": (statistics, lambda: [rand(2, 2, 5, 4), rand(2, 2, 5, 4), rand(2, 5)]),
    "slice_norms": (lambda weight: kernels.slice_norms(weight, SLICES), lambda: [rand(6, 4)]),
}
"""Every public function that maps tensors to tensors, and arguments for it."""
TABLES = {"pack_segments", "pack_slices"}
IN_PLACE = {"indexed_normal_", "indexed_uniform_"}
COMBINATIONS = {
    "gradient": "`backward`",
    "second": "twice",
    "compile": "`torch.compile`",
    "export": "`torch.export`",
    "autocast": "autocast",
    "vmap": "`vmap`",
    "forward": "forward mode",
}
"""What a training does with a function, and its column on the page."""
REFUSED = {
    **dict.fromkeys(
        (
            ("attention_map", "second"),
            ("attention_map_distance", "second"),
            ("attention_map_distances", "second"),
        ),
        "differentiable once.*use torch.func.grad",
    ),
    **dict.fromkeys(
        (("attention_block", "second"), ("packed_attention", "second")),
        "derivative for .*attention.* is not implemented",
    ),
}
"""By function and combination the error; everything else works."""


def table() -> str:
    """A row per function, in Markdown."""
    lines = ["| function | " + " | ".join(COMBINATIONS.values()) + " |"]
    lines.append("| --- |" + " --- |" * len(COMBINATIONS))
    for name in sorted(FUNCTIONS):
        cells = ["error" if (name, one) in REFUSED else "yes" for one in COMBINATIONS]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table in the place of the one that it has."""
    found = re.sub(r"\| function \|.*?(?=\n\n)", lambda _: table(), page, flags=re.DOTALL)
    assert table() in found, f"{PAGE} has no table"
    return found


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
