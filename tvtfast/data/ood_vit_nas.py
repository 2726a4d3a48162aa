"""Files of OoD-ViT-NAS: subnets of AutoFormer, and what they reach on shifted ImageNets.

Source: Ho et al., "Vision Transformer Neural Architecture Search for Out-of-Distribution
Generalization: Benchmark and Insights", NeurIPS 2024; a file is what its authors publish for one
supernet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SETTING, _PERFORMANCE = "net_setting", "performance"
_FIELDS = ("layer_num", "embed_dim", "num_heads", "mlp_ratio")
_WIDTHS = {
    "autoformer-original-tiny": (192, 216, 240),
    "autoformer-original-small": (320, 384, 448),
    "autoformer-original-base": (528, 576, 624),
}
_TRAINED = {"data_set": "imagenet", "num_classes": 1000, "img_size": 224, "patch_size": 16}


def is_ood_vit_nas(content: Any) -> bool:
    """Whether JSON is an object of architectures by number, as OoD-ViT-NAS has them."""
    if not isinstance(content, Mapping) or not content:
        return False
    first = next(iter(content.values()))
    return isinstance(first, Mapping) and {_SETTING, _PERFORMANCE} <= first.keys()


def ood_vit_nas_sections(content: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of ``arch`` and results by space, which the width of an architecture tells.

    A column is called by its keys in the file with ``/`` between them, such as ``clean`` and
    ``corruption/Gaussian Noise/1``; ``Imagenet`` above all of them is left out, and so are the
    counts, which are known.

    Args:
        content: What `is_ood_vit_nas` accepts.

    Raises:
        ValueError: An architecture that lacks a key or is of no space; the message names it.
    """
    sections: dict[str, list[dict[str, Any]]] = {}
    for number, entry in content.items():
        arch = _arch(number, entry)
        space = next(
            (name for name, widths in _WIDTHS.items() if arch["hidden_dim"] in widths), None
        )
        if space is None:
            raise ValueError(
                f"architecture {number} has the width {arch['hidden_dim']!r}; the supernets have "
                f"{', '.join(str(width) for widths in _WIDTHS.values() for width in widths)}"
            )
        results = dict(_leaves(entry[_PERFORMANCE]))
        sections.setdefault(space, []).append({"arch": arch, **_TRAINED, **results})
    return sections


def _arch(number: str, entry: Any) -> dict[str, Any]:
    setting = entry.get(_SETTING) if isinstance(entry, Mapping) else None
    if not isinstance(setting, Mapping) or not {*_FIELDS} <= setting.keys():
        raise ValueError(f"architecture {number} lacks {_SETTING} with {', '.join(_FIELDS)}")
    if not isinstance(entry.get(_PERFORMANCE), Mapping):
        raise ValueError(f"architecture {number} lacks {_PERFORMANCE}")
    depth, widths = setting["layer_num"], setting["embed_dim"]
    if not isinstance(widths, list) or len(widths) != depth or widths != widths[:1] * depth:
        raise ValueError(
            f"architecture {number} has {depth!r} layers with embed_dim {str(widths)[:80]}; give "
            "one width, the same for every layer"
        )
    return {
        "hidden_dim": widths[0],
        "depth": depth,
        "num_heads": setting["num_heads"],
        "mlp_ratio": setting["mlp_ratio"],
    }


def _leaves(results: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in results.items():
        if isinstance(value, Mapping):
            inside = prefix if not prefix and key == "Imagenet" else f"{prefix}{key}/"
            yield from _leaves(value, inside)
        else:
            yield f"{prefix}{key}", value
