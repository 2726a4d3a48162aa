"""Trained accuracies of architectures of any space, from a file: what proxies are judged by."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.foreign import BadFileError, reading
from tvtfast.data.truth_file import (
    ARCH,
    SPACE,
    STATED,
    Row,
    identities,
    measured,
    read_sections,
)
from tvtfast.spaces import Space, reference, references, space_of
from tvtfast.spaces import get as get_space

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Truth:
    """Architectures of one space whose accuracies are known.

    Args:
        space: Their space.
        archs: The architectures, decoded, in file order.
        frame: The same rows: ``arch`` (canonical JSON), and float64 columns of truth, NaN where
            nothing was measured. `tvtfast.correlate` takes it.
        stated: Those of `tvtfast.data.truth_file.STATED` that the file has, with one value in all
            rows.
        left_out: Rows and columns of the file that are not here, and why.
    """

    space: Space[Any]
    archs: tuple[Any, ...]
    frame: pd.DataFrame
    stated: Mapping[str, Any]
    left_out: tuple[str, ...]


def load_truth(
    path: str | os.PathLike[str],
    space: str | Space[Any] | None = None,
    *,
    default: str | Space[Any] | None = None,
    columns: Iterable[str] = (),
) -> Truth:
    """Read trained accuracies of architectures of any space.

    Args:
        path: A ``.json`` file with a list of rows, alone or in an object with one list per space,
            or a file of OoD-ViT-NAS; a ``.csv`` file with a header; or a ``.pth`` file of
            ViT-Bench-101, read with torch's safe loader. A row has ``arch``, a dictionary, the
            string form of its space or the name of a published model, columns of numbers, and
            perhaps ``space``. A cell that is missing, null or empty was not measured.
        space: The space, or its name; default the one that the file names, or that strings and
            names in it are of.
        default: The space of a file that names none, or this one among others.
        columns: Columns of truth; higher must be better. Default those whose names end in ``acc``
            or ``accuracy``, and where there is none all columns of numbers.

    Raises:
        FileNotFoundError: Where there is no such file.
        BadFileError: A damaged file, no rows of the space, an architecture outside the space or one
            that comes twice (in whatever encoding), an accuracy outside 0..100, a cell of a column
            of truth that is no number. The message names row and column.
        ValueError: An unknown space, or none where the file does not name just one.
    """
    path = Path(path)
    wanted = None if space is None else get_space(space)
    otherwise = None if default is None else get_space(default)
    sections = read_sections(path)
    with reading(path, "a truth file", advice="give rows of arch and accuracies"):
        chosen, rows, left_out = _rows_of(path, sections, wanted, otherwise)
        texts = identities(rows, lambda arch: chosen.encode(_encoded(arch, chosen)))
        found = measured(rows, columns)
        frame = found.frame
        frame.insert(0, ARCH, texts)
        if found.others:
            left_out.append(f"columns that are no truth: {', '.join(found.others)}")
        known = frame.drop(columns=ARCH).notna().any(axis=1)
        if not known.all():
            left_out.append(f"{int((~known).sum())} rows without any value of truth")
        if not known.any():
            raise BadFileError(f"{path} holds no value of {', '.join(frame.columns[1:])}")
        frame = frame[known].reset_index(drop=True)
        archs = tuple(chosen.decode(text) for text in frame[ARCH])
        stated = _stated([row for row, kept in zip(rows, known, strict=True) if kept])
    return Truth(chosen, archs, frame, stated, tuple(left_out))


def _rows_of(
    path: Path,
    sections: Mapping[str, list[Row]],
    chosen: Space[Any] | None,
    default: Space[Any] | None,
) -> tuple[Space[Any], list[Row], list[str]]:
    """The rows of one space, that space, and what was left out."""
    rows: list[tuple[str | None, Row]] = [
        (_space_of(row) or section or None, row)
        for section, found in sections.items()
        for row in found
    ]
    named = Counter(_canonical(name) for name, _ in rows if name is not None)
    if chosen is None and len(named) == 1:
        chosen = get_space(next(iter(named)))
    if chosen is None and not named:
        written = {space_of(arch) for _, row in rows if isinstance(arch := row.get(ARCH), str)}
        chosen = get_space(name) if len(written) == 1 and (name := written.pop()) else None
    if chosen is None and default is not None and (not named or default.name in named):
        chosen = default
    if chosen is None:
        there = ", ".join(f"{name} ({count} rows)" for name, count in named.items())
        raise BadFileError(
            f"{path} is of {there or 'a space that it does not name'}; name the space that is meant"
        )
    kept = [row for name, row in rows if name is None or _canonical(name) == chosen.name]
    if not kept:
        there = ", ".join(named)
        raise BadFileError(
            f"{path} holds no list of {chosen.name} rows"
            + (f"; it has architectures of {there}" if there else "")
        )
    others = [f"{n} rows of space {name}" for name, n in named.items() if name != chosen.name]
    return chosen, kept, others


def _space_of(row: Row) -> str | None:
    given = row.get(SPACE)
    if given is not None and not isinstance(given, str):
        raise BadFileError(f"{row.where}: {SPACE} is {given!r}; give the name of a space")
    return given


def _canonical(name: str) -> str:
    """The name of a space by a name that may stand for it; one that is unknown stays."""
    try:
        return get_space(name).name
    except ValueError:
        return name


def _encoded(arch: Any, space: Space[Any]) -> Any:
    """What `Space.decode` takes: a genotype in a CSV file is JSON, and published models have
    names."""
    if not isinstance(arch, str):
        return arch
    if arch.lstrip().startswith("["):
        return json.loads(arch)
    if arch.strip() not in references():
        return arch
    found = reference(arch.strip())
    if found.space != space.name:
        raise ValueError(f"{found.name} is of space {found.space}, and not of {space.name}")
    return found.arch


def _stated(rows: Sequence[Row]) -> dict[str, Any]:
    stated = {}
    for name in STATED:
        given = [row.get(name) for row in rows]
        if given[0] is not None and all(value == given[0] for value in given):
            stated[name] = _whole(given[0])
    return stated


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value
