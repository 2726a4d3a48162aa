"""ViT-Bench-101: trained accuracies of ViT candidates, the truth that proxies are judged by."""

from __future__ import annotations

import json
import math
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import pandas as pd

_SECTIONS = {"autoformer": "autoformer", "autoformer-tiny": "autoformer", "pit": "pit"}
_ARCH_KEYS = {
    "autoformer": {"hidden_dim", "mlp_ratio", "depth", "num_heads"},
    "pit": {"base_dim", "mlp_ratio", "depth", "num_heads"},
}


def load_vit_bench(path: str | os.PathLike[str], space: str) -> pd.DataFrame:
    """Read ViT-Bench-101 ground truth (released with Auto-Prox, AAAI 2024).

    Args:
        path: A ``.json`` file with a list of rows, or with one list per space under the keys
            ``autoformer`` and ``pit``; or a published ``.pth`` file (``gt_autoformer.pth``,
            ``gt_pit.pth``), read with torch's safe loader. A row has ``arch`` and accuracies.
        space: ``"autoformer"`` (or ``"autoformer-tiny"``) or ``"pit"``.

    Returns:
        One row per architecture, in file order: ``arch``, a dict, then the accuracies as float64 in
        percent, such as ``c100_kd_acc`` (distilled) and ``c100_base_acc`` (trained from scratch).

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: For an unknown space, a file the safe loader refuses, rows of another space,
            missing keys, an architecture that comes twice, or an accuracy outside 0..100.
    """
    if space not in _SECTIONS:
        raise ValueError(
            f"space={space!r} is not in ViT-Bench-101; allowed: {', '.join(_SECTIONS)}"
        )
    import pandas as pd

    path = Path(path)
    section = _SECTIONS[space]
    content = _read_pth(path) if path.suffix in {".pth", ".pt"} else _read_json(path)
    rows = content.get(section) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no list of {section} rows")
    _check_rows(rows, section, path)
    columns = [key for key in rows[0] if key != "arch"]
    accuracies = {key: [float(row[key]) for row in rows] for key in columns}
    frame: pd.DataFrame = pd.DataFrame(accuracies)
    frame.insert(0, "arch", [row["arch"] for row in rows])
    return frame


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); give a .json or .pth file") from error


def _read_pth(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path} was refused by torch.load(weights_only=True): it is damaged, or it holds more "
            "than lists, dicts, strings and numbers, and reading it could run code of whoever made "
            "it. If you trust it, convert it once where that does no harm: "
            "json.dump(torch.load(path, weights_only=False), open('gt.json', 'w')), and load that"
        ) from error


def _check_rows(rows: list[Any], section: str, path: Path) -> None:
    keys: set[str] = set()
    seen: dict[str, int] = {}
    for index, row in enumerate(rows):
        where = f"{path}, {section} row {index}"
        if not isinstance(row, dict) or not isinstance(row.get("arch"), dict):
            raise ValueError(f"{where} has no dict under 'arch'")
        keys = keys or set(row)
        if set(row) != keys or len(keys) == 1:
            raise ValueError(
                f"{where} has the keys {sorted(row)}; expected {sorted(keys)}, and at "
                "least one accuracy beside 'arch'"
            )
        if set(row["arch"]) != _ARCH_KEYS[section]:
            raise ValueError(
                f"{where}: arch has the keys {sorted(row['arch'])}, but {section} has "
                f"{sorted(_ARCH_KEYS[section])}; is it another space's file?"
            )
        for key in keys - {"arch"}:
            if not _is_percentage(row[key]):
                raise ValueError(f"{where}: {key} is {row[key]!r}; allowed is a number in 0..100")
        identity = json.dumps(row["arch"], sort_keys=True)
        if identity in seen:
            raise ValueError(f"{where} is the same architecture as row {seen[identity]}")
        seen[identity] = index


def _is_percentage(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= 100
