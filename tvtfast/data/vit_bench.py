"""ViT-Bench-101: trained accuracies of ViT candidates, the truth that proxies are judged by."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.foreign import BadFileError
from tvtfast.data.truth_file import ARCH, identities, measured, read_sections

if TYPE_CHECKING:
    import pandas as pd

_SECTIONS = {"autoformer": "autoformer", "autoformer-tiny": "autoformer", "pit": "pit"}
_ARCH_KEYS = {
    "autoformer": {"hidden_dim", "mlp_ratio", "depth", "num_heads"},
    "pit": {"base_dim", "mlp_ratio", "depth", "num_heads"},
}


def load_vit_bench(path: str | os.PathLike[str], space: str) -> pd.DataFrame:
    """Read ViT-Bench-101 ground truth (released with Auto-Prox, AAAI 2024).

    Architectures are taken as published; `tvtfast.load_truth` checks those of any space.

    Args:
        path: A ``.json`` file with a list of rows, or with one list per space under the keys
            ``autoformer`` and ``pit``; or a published ``.pth`` file (``gt_autoformer.pth``,
            ``gt_pit.pth``), read with torch's safe loader. A row has ``arch`` and accuracies.
        space: ``"autoformer"`` (or ``"autoformer-tiny"``) or ``"pit"``.

    Returns:
        One row per architecture, in file order: ``arch``, a dict, then the accuracies as float64 in
        percent, such as ``c100_kd_acc`` (distilled) and ``c100_base_acc`` (trained from scratch);
        NaN where a row has none.

    Raises:
        FileNotFoundError: Where there is no such file.
        BadFileError: For a file that is damaged, too large, or refused by the safe loader; rows of
            another space, an architecture that comes twice, or an accuracy outside 0..100.
        ValueError: For an unknown space.
    """
    if space not in _SECTIONS:
        raise ValueError(
            f"space={space!r} is not in ViT-Bench-101; allowed: {', '.join(_SECTIONS)}"
        )
    section = _SECTIONS[space]
    sections = read_sections(path)
    rows = sections.get("", sections.get(section))
    if not rows:
        raise BadFileError(f"{Path(path)} holds no list of {section} rows")
    identities(rows, lambda arch: _identity(arch, section))
    frame = measured(rows).frame
    frame.insert(0, ARCH, [row.cells[ARCH] for row in rows])
    return frame


def _identity(arch: Any, section: str) -> str:
    expected = _ARCH_KEYS[section]
    if not isinstance(arch, dict) or set(arch) != expected:
        given = sorted(map(str, arch)) if isinstance(arch, dict) else type(arch).__name__
        raise ValueError(
            f"it has the keys {given}, but {section} has {sorted(expected)}; is it another space's "
            "file?"
        )
    return json.dumps(arch, sort_keys=True)
