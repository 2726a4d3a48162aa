"""Files of trained accuracies as rows that know their place: JSON, CSV, and published pickles."""

from __future__ import annotations

import csv
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tvtfast.common.accuracies import is_accuracy
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.common.names import did_you_mean
from tvtfast.data.ood_vit_nas import is_ood_vit_nas, ood_vit_nas_sections

if TYPE_CHECKING:
    import pandas as pd

ARCH, SPACE = "arch", "space"
"""Columns that say of what the others are."""

STATED = ("data_set", "num_classes", "img_size", "patch_size")
"""Columns that say how all architectures of a file were trained."""

MAX_BYTES = 2**26
"""Largest truth file, also when it is unpacked."""

_WHOLE = "rows"
"""Key of the rows of a JSON object that has no section per space."""
_MOST = 100
_NAMED = 12
_ABOUT_ROWS = "give a .json, .csv or .pth file with rows of arch and accuracies"
_ABOUT_PICKLES = (
    "torch.load(weights_only=True) refuses what is damaged or holds more than lists, dicts, "
    "strings and numbers, since reading it could run code of whoever made it. If you trust it, "
    "convert it once where that does no harm: "
    "json.dump(torch.load(path, weights_only=False), open('gt.json', 'w')), and load that"
)


@dataclass(frozen=True)
class Row:
    """One architecture and what is known of it.

    Args:
        path: The file.
        name: Its place there, such as ``row 3`` (counted from 0) or ``line 5``.
        cells: By column; one that is missing, ``None`` or empty text has no value.
        is_text: Whether numbers are written as text, as in a CSV file.
    """

    path: Path
    name: str
    cells: Mapping[str, Any]
    is_text: bool = False

    @property
    def where(self) -> str:
        """File and place, for messages."""
        return f"{self.path}, {self.name}"

    def get(self, column: str) -> Any:
        """The value of a cell; ``None`` where there is none."""
        value = self.cells.get(column)
        return None if isinstance(value, str) and not value.strip() else value


@dataclass(frozen=True)
class Measured:
    """The columns of truth among all columns of some rows.

    Args:
        frame: One row per row: float64 columns, NaN where nothing was measured.
        others: Names of the columns that are no truth.
    """

    frame: pd.DataFrame
    others: tuple[str, ...]


def read_sections(path: str | os.PathLike[str]) -> dict[str, list[Row]]:
    """Read a truth file.

    Args:
        path: A ``.csv`` file with a header; a ``.json`` file with a list of rows, alone or under
            the key ``rows``, with one list per section, or as OoD-ViT-NAS has them; or a ``.pth``
            file of the same, read with torch's safe loader.

    Returns:
        Rows by section. What has no sections is one without a name (``""``).

    Raises:
        FileNotFoundError: Where there is no such file.
        BadFileError: For a file that is damaged, of more than `MAX_BYTES`, refused by the safe
            loader, or not made of rows.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; {_ABOUT_ROWS}")
    suffix = path.suffix.lower()
    is_pickle = suffix in {".pth", ".pt"}
    what = "a truth file" if is_pickle else "CSV" if suffix == ".csv" else "JSON"
    with reading(path, what, advice=_ABOUT_PICKLES if is_pickle else _ABOUT_ROWS):
        _check_size(path)
        if suffix == ".csv":
            return {"": _csv_rows(path)}
        if is_pickle:
            content = torch.load(path, map_location="cpu", weights_only=True)
        else:
            content = json.loads(path.read_text(encoding="utf-8"))
        if is_ood_vit_nas(content):
            content = ood_vit_nas_sections(content)
        if isinstance(content, dict) and isinstance(content.get(_WHOLE), list):
            content = content[_WHOLE]
        sections = content if isinstance(content, dict) else {"": content}
        return {
            str(name): _json_rows(path, str(name), rows)
            for name, rows in sections.items()
            if isinstance(rows, list)
        }


def measured(rows: Sequence[Row], columns: Iterable[str] = ()) -> Measured:
    """What was measured of the architectures of some rows.

    Columns of truth are those that are named; else those whose names end in ``acc`` or
    ``accuracy``; where there is none, all columns of numbers but those of `STATED`.

    Args:
        rows: At least one.
        columns: Names of columns.

    Raises:
        BadFileError: A column that is named and not there, no column of truth, a cell of one that
            is no finite number, or an accuracy outside 0..100.
    """
    import pandas as pd

    path = rows[0].path
    there = list(dict.fromkeys(c for row in rows for c in row.cells))
    candidates = [name for name in there if name not in (ARCH, SPACE) and name]
    unprintable = [name for name in candidates if not name.isprintable()]
    if unprintable:
        raise BadFileError(
            f"{path}: {ascii(unprintable[0])} is no name of a column; give one of printable text"
        )
    chosen = list(dict.fromkeys(columns))
    unknown = [name for name in chosen if name not in candidates]
    if unknown:
        raise BadFileError(
            f"{path} has no column {unknown[0]!r}; it has {_listed(candidates)}"
            f"{did_you_mean(unknown[0], candidates)}"
        )
    chosen = chosen or [name for name in candidates if is_accuracy(name)]
    chosen = chosen or [
        name for name in candidates if name not in STATED and _is_numeric(rows, name)
    ]
    if not chosen:
        raise BadFileError(
            f"{path} has no column of accuracies beside {ARCH!r}; it has "
            f"{_listed(candidates) or 'nothing else'}; give at least one column of numbers"
        )
    frame = pd.DataFrame({name: [_checked(row, name) for row in rows] for name in chosen})
    others = tuple(name for name in candidates if name not in chosen)
    return Measured(frame.astype("float64"), others)


def identities(rows: Sequence[Row], identify: Callable[[Any], str]) -> list[str]:
    """The canonical text of every architecture.

    Args:
        rows: What stands in their column ``arch`` is looked at.
        identify: Makes the text of an architecture; a ``ValueError`` says what is wrong with it.

    Raises:
        BadFileError: A row without architecture, one that ``identify`` refuses, or one that comes
            twice.
    """
    seen: dict[str, str] = {}
    for row in rows:
        given = row.get(ARCH)
        if given is None:
            raise BadFileError(
                f"{row.where} has no architecture under {ARCH!r}; it has "
                f"{_listed(row.cells) or 'nothing'}"
            )
        try:
            text = identify(given)
        except ValueError as error:
            raise BadFileError(f"{row.where}: {ARCH} is of no use: {error}") from error
        if text in seen:
            raise BadFileError(
                f"{row.where} is the same architecture as {seen[text]}; give one row each, such as "
                "with the mean over seeds"
            )
        seen[text] = row.name
    return list(seen)


def _check_size(path: Path) -> None:
    """Refuse what would fill memory: the published files have less than a megabyte."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes; allowed are {MAX_BYTES:,}")


def _json_rows(path: Path, section: str, rows: list[Any]) -> list[Row]:
    found = []
    for index, row in enumerate(rows):
        name = f"{section} row {index}".lstrip()
        if not isinstance(row, dict):
            raise BadFileError(f"{path}, {name} is no object of columns and values")
        if not all(isinstance(key, str) for key in row):
            raise BadFileError(f"{path}, {name} has keys that are no text")
        found.append(Row(path, name, row))
    return found


def _csv_rows(path: Path) -> list[Row]:
    with open(path, newline="", encoding="utf-8-sig") as text:
        lines = csv.reader(text, strict=True)
        header = [name.strip() for name in next(lines, [])]
        if ARCH not in header:
            raise BadFileError(
                f"{path} has no column {ARCH!r} in its first line, which is "
                f"{_listed(header) or 'empty'}; separate columns by commas"
            )
        twice = [name for name in header if header.count(name) > 1]
        if twice:
            raise BadFileError(f"{path} has the column {twice[0]!r} twice; give every name once")
        found = []
        for cells in lines:
            name = f"line {lines.line_num}"
            if cells and len(cells) != len(header):
                raise BadFileError(
                    f"{path}, {name} has {len(cells)} cells for {len(header)} columns; put an "
                    "architecture with commas in quotes, and leave cells without value empty"
                )
            if cells:
                found.append(Row(path, name, dict(zip(header, cells, strict=True)), is_text=True))
    return found


def _checked(row: Row, column: str) -> float:
    value = row.get(column)
    if value is None:
        return math.nan
    number = _number(row, value)
    if is_accuracy(column) and not 0 <= number <= _MOST:
        raise BadFileError(
            f"{row.where}: {column} is {value!r}; allowed is a number in 0..{_MOST}, or nothing "
            "where it was not measured"
        )
    if not math.isfinite(number):
        raise BadFileError(
            f"{row.where}: {column} is {value!r}; allowed is a finite number, or nothing where it "
            "was not measured"
        )
    return number


def _is_numeric(rows: Iterable[Row], column: str) -> bool:
    given = [(row, row.get(column)) for row in rows]
    numbers = [_number(row, value) for row, value in given if value is not None]
    return bool(numbers) and all(map(math.isfinite, numbers))


def _number(row: Row, value: Any) -> float:
    """NaN for what is no number."""
    if isinstance(value, bool) or not isinstance(value, (str if row.is_text else int, int, float)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _listed(names: Iterable[str]) -> str:
    known = [repr(name[:80]) for name in names]
    return ", ".join(known[:_NAMED]) + (", ..." if len(known) > _NAMED else "")
