"""ViT-Bench-101: trained accuracies of ViT candidates, the truth that proxies are judged by."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tvtfast.common.foreign import BadFileError, reading

if TYPE_CHECKING:
    import pandas as pd

_SECTIONS = {"autoformer": "autoformer", "autoformer-tiny": "autoformer", "pit": "pit"}
_ARCH_KEYS = {
    "autoformer": {"hidden_dim", "mlp_ratio", "depth", "num_heads"},
    "pit": {"base_dim", "mlp_ratio", "depth", "num_heads"},
}

MAX_BYTES = 2**26
"""Largest truth file, also when it is unpacked."""

_ABOUT_JSON = "give a .json or .pth file with rows of arch and accuracies"
_ABOUT_PICKLES = (
    "torch.load(weights_only=True) refuses what is damaged or holds more than lists, dicts, "
    "strings and numbers, since reading it could run code of whoever made it. If you trust it, "
    "convert it once where that does no harm: "
    "json.dump(torch.load(path, weights_only=False), open('gt.json', 'w')), and load that"
)


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
        BadFileError: For a file that is damaged, of more than `MAX_BYTES`, or refused by the safe
            loader; rows of another space, missing keys, an architecture that comes twice, or an
            accuracy outside 0..100.
        ValueError: For an unknown space.
    """
    if space not in _SECTIONS:
        raise ValueError(
            f"space={space!r} is not in ViT-Bench-101; allowed: {', '.join(_SECTIONS)}"
        )
    import pandas as pd

    path = Path(path)
    section = _SECTIONS[space]
    is_pickle = path.suffix.lower() in {".pth", ".pt"}
    what, advice = ("a truth file", _ABOUT_PICKLES) if is_pickle else ("JSON", _ABOUT_JSON)
    with reading(path, what, advice=advice):
        _check_size(path)
        content = _read_pth(path) if is_pickle else json.loads(path.read_text(encoding="utf-8"))
        rows = content.get(section) if isinstance(content, dict) else content
        if not isinstance(rows, list) or not rows:
            raise BadFileError(f"{path} holds no list of {section} rows")
        _check_rows(rows, section, path)
        columns = [key for key in rows[0] if key != "arch"]
        frame: pd.DataFrame = pd.DataFrame(
            {key: [float(row[key]) for row in rows] for key in columns}
        )
        frame.insert(0, "arch", [row["arch"] for row in rows])
    return frame


def _check_size(path: Path) -> None:
    """Refuse what would fill memory: the published files have less than a megabyte."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes; allowed are {MAX_BYTES:,}")


def _read_pth(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_rows(rows: list[Any], section: str, path: Path) -> None:
    keys: set[str] = set()
    seen: dict[str, int] = {}
    for index, row in enumerate(rows):
        where = f"{path}, {section} row {index}"
        if not isinstance(row, dict) or not isinstance(row.get("arch"), dict):
            raise BadFileError(f"{where} has no dict under 'arch'")
        if not all(isinstance(key, str) for key in (*row, *row["arch"])):
            raise BadFileError(f"{where} has keys that are no text")
        keys = keys or set(row)
        if set(row) != keys or len(keys) == 1:
            raise BadFileError(
                f"{where} has the keys {sorted(row)}; expected {sorted(keys)}, and at "
                "least one accuracy beside 'arch'"
            )
        if set(row["arch"]) != _ARCH_KEYS[section]:
            raise BadFileError(
                f"{where}: arch has the keys {sorted(row['arch'])}, but {section} has "
                f"{sorted(_ARCH_KEYS[section])}; is it another space's file?"
            )
        for key in keys - {"arch"}:
            if not _is_percentage(row[key]):
                raise BadFileError(f"{where}: {key} is {row[key]!r}; allowed is a number in 0..100")
        identity = json.dumps(row["arch"], sort_keys=True)
        if identity in seen:
            raise BadFileError(f"{where} is the same architecture as row {seen[identity]}")
        seen[identity] = index


def _is_percentage(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= 100  # which NaN is not
