"""Finding a data set on disk under the folder names people have it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("data")


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not on disk where it was looked for; tvtfast downloads nothing."""


@dataclass(frozen=True)
class Layout:
    """How a published data set lies on disk.

    Attributes:
        folders: Names under which its folder is usually found.
        entries: Files and folders that must be in it.
        source: Where it comes from: the archive to extract.
    """

    folders: tuple[str, ...]
    entries: tuple[str, ...]
    source: str

    def places(self, path: Path | None) -> list[Path]:
        """Folders to try, in order: the usual names below ``path``, then ``path`` itself."""
        root = DEFAULT_ROOT if path is None else path
        return [*(root / folder for folder in self.folders), root]

    def missing(self, place: Path) -> list[str]:
        """Entries that are not in ``place``."""
        return [entry for entry in self.entries if not (place / entry).exists()]

    def find(self, path: Path | None) -> Path | None:
        """The first place that holds every entry, or ``None``."""
        return next((place for place in self.places(path) if not self.missing(place)), None)


def locate(name: str, layout: Layout, path: Path | None) -> Path:
    """The folder of a published data set.

    Args:
        name: Data set name, for the error message.
        layout: How it lies on disk.
        path: The data set's folder or the folder around it; ``./data`` where not given.

    Raises:
        DatasetNotFoundError: Where no place holds all of it: what was looked for, where, what is
            missing there, and how to get it.
    """
    found = layout.find(path)
    if found is not None:
        return found
    tried = "\n".join(f"  {place}: {_complaint(layout, place)}" for place in layout.places(path))
    raise DatasetNotFoundError(
        f"{name} was not found. It is a folder holding {', '.join(layout.entries)}. Tried:\n"
        f"{tried}\n"
        f"tvtfast downloads nothing: get {layout.source}, extract it, and give its folder or the "
        "folder around it as path"
    )


def _complaint(layout: Layout, place: Path) -> str:
    if not place.exists():
        return "does not exist"
    if not place.is_dir():
        return "is a file, not a folder"
    return f"has no {', '.join(layout.missing(place))}"
