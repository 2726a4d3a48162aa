"""What is in a folder: images, classes, splits, and what belongs to none of them.

Training and predicting ask here, so both leave out the same.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tvtfast.common.foreign import BadFileError
from tvtfast.data.pixels import check_image, image_suffixes
from tvtfast.data.report import DataReport, first, listed

_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation", "holdout"),
}
"""Names of folders that are splits, in any case, and with the words below around them."""
_BESIDE_A_SPLIT = {"data", "dataset", "folder", "image", "images", "imgs", "set", "split"}
_SPLIT_OF = {
    word + ending: split
    for split, words in _SPLITS.items()
    for word in words
    for ending in ("", "set", "data")
}

_SYSTEM_FOLDERS = {
    "__macosx",
    "__pycache__",
    "@eadir",
    "$recycle.bin",
    "lost+found",
    "system volume information",
}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}

MOST_OPENED = 10_000
"""Opening them takes some two seconds; more are not opened before they are used."""

_LOOSE = "image without a class folder"

# fmt: off
_UNREAD_IMAGES = {
    ".arw", ".avif", ".cr2", ".cr3", ".czi", ".dcm", ".dng", ".eps", ".exr", ".fits", ".hdr",
    ".heic", ".heif", ".ico", ".jp2", ".jxl", ".lif", ".mrxs", ".ndpi", ".nef", ".nii", ".npy",
    ".orf", ".pcx", ".psd", ".raw", ".rw2", ".svg", ".svs", ".tga", ".webp", ".xcf",
}
# fmt: on
"""Images that somebody would miss; those that this Pillow reads are not left out at all."""


@dataclass(frozen=True)
class ClassFolders:
    """A folder of images by class.

    Attributes:
        images: By split, ``train`` first: files and their labels, in the order of paths.
        classes: Names of the folders in the training split that hold images, sorted.
        report: What was found.
    """

    images: dict[str, list[tuple[Path, int]]]
    classes: tuple[str, ...]
    report: DataReport


def find_images(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The images in a folder and all folders below it, in the order of paths.

    Links are followed. Hidden and system entries, files of other types, links that lead nowhere and
    links to a folder they lie in are left out.

    Args:
        folder: An existing folder.

    Returns:
        Files that end as `image_suffixes` says, and how many entries of which kind were left out.

    Raises:
        OSError: A folder is not to be read by this user.
    """
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    around = frozenset(str(parent) for parent in Path(os.path.realpath(folder)).parents)
    _collect(folder, around, files, left_out)
    files.sort(key=lambda file: (str(file.parent), file.name))
    return files, left_out


def read_class_folders(path: Path) -> ClassFolders:
    """Images of ``<split>/<class>/**`` or, where no folder is a split, of ``<class>/**``.

    A folder is a split if its name says so (``train``, ``Training``, ``valid``, ``test_set``, ...)
    and it holds folders. Class folders without images are left out. Of at most `MOST_OPENED` images
    each is opened, and those that cannot be are left out, too.

    Args:
        path: An existing folder.

    Raises:
        ValueError: There is no training image; two folders are the same split; a split holds a
            class with images that training has not; splits lie inside of classes; the name of a
            class is not UTF-8.
        OSError: A folder is not to be read by this user.
    """
    folders, others = _entries(path)
    splits = _split_folders(path, folders)
    left_out: Counter[str] = Counter()
    remarks = []
    beside = [folder.name for folder in folders if folder not in splits.values()]
    if splits:
        left_out.update(others)
        if beside:
            left_out["folder beside the splits"] += len(beside)
            remarks.append(
                f"{first(folder.name for folder in splits.values())} hold the classes, so what "
                f"lies beside them is left out: {first(beside)}"
            )
    by_class = {
        split: _by_class(folder, left_out) for split, folder in (splits or {"train": path}).items()
    }
    remarks += _leave_out_unreadable(path, by_class, left_out)
    training = splits.get("train", path)
    classes = tuple(name for name, files in by_class["train"].items() if files)
    if not classes:
        raise ValueError(_no_class(training, by_class["train"], left_out))
    if not splits:
        _refuse_splits_as_classes(path, by_class["train"])
    for split, found in by_class.items():
        strangers = [name for name, files in found.items() if files and name not in classes]
        if strangers:
            raise ValueError(
                f"{splits[split]} has classes that {training} has not: {first(strangers)}; "
                "classes are the folders of the training split that hold images"
            )
        missing = [name for name in classes if not found.get(name)]
        if missing:
            remarks.append(f"{split} has no image of the classes {first(missing)}")
    remarks += _doubts(training, by_class["train"], left_out, has_splits=bool(splits))
    label_of = {name: label for label, name in enumerate(classes)}
    images = {
        split: [(file, label_of[name]) for name, files in found.items() for file in files]
        for split, found in by_class.items()
    }
    counts = {split: len(files) for split, files in images.items()}
    report = DataReport(path, counts, len(classes), dict(left_out), tuple(remarks))
    return ClassFolders(images, classes, report)


def split_of(name: str) -> str | None:
    """``"train"``, ``"val"`` or ``"test"`` where the name of a folder says so, else ``None``."""
    telling = [word for word in _words(name) if word not in _BESIDE_A_SPLIT]
    return _SPLIT_OF.get(telling[0]) if len(telling) == 1 else None


def _collect(
    folder: Path, above: frozenset[str], files: list[Path], left_out: Counter[str]
) -> None:
    here = os.path.realpath(folder)
    if here in above:
        left_out["link to a folder around it"] += 1
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            reason = _reason_to_leave_out(entry)
            if reason:
                left_out[reason] += 1
            elif entry.is_dir():
                _collect(Path(entry.path), above | {here}, files, left_out)
            else:
                files.append(Path(entry.path))


def _reason_to_leave_out(entry: os.DirEntry[str]) -> str:
    """Empty for folders and images."""
    name = entry.name.lower()
    if entry.is_dir():
        if name.startswith("."):
            return "hidden folder"
        return "system folder" if name in _SYSTEM_FOLDERS else ""
    if name.startswith("."):
        return "hidden file"
    if name in _SYSTEM_FILES:
        return "system file"
    if not entry.is_file():
        return "link that leads nowhere" if entry.is_symlink() else "special file"
    suffix = os.path.splitext(name)[1]
    return "" if suffix in image_suffixes() else suffix or "file without a suffix"


def _entries(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Folders in a folder, sorted by name, and what else is there: images, and what is left out."""
    folders, others = [], Counter[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            reason = _reason_to_leave_out(entry)
            if not reason and entry.is_dir():
                folders.append(Path(entry.path))
            else:
                others[reason or _LOOSE] += 1
    return sorted(folders), others


def _split_folders(path: Path, folders: list[Path]) -> dict[str, Path]:
    """Folders by the split they are, ``train`` first."""
    by_split: dict[str, list[Path]] = {split: [] for split in _SPLITS}
    for folder in folders:
        split = split_of(folder.name)
        if split is not None and _holds_folders(folder):
            by_split[split].append(folder)
    for split, same in by_split.items():
        if len(same) > 1:
            raise ValueError(
                f"{path} has {len(same)} folders for the split {split!r}: "
                f"{first(folder.name for folder in same)}; keep one, or put them together"
            )
    splits = {split: same[0] for split, same in by_split.items() if same}
    if splits and "train" not in splits:
        raise ValueError(
            f"{path} has {first(folder.name for folder in splits.values())} but no train; the "
            "classes are those of train/<class>/"
        )
    return splits


def _holds_folders(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_dir() and not _reason_to_leave_out(entry) for entry in entries)


def _by_class(split: Path, left_out: Counter[str]) -> dict[str, list[Path]]:
    """Images by name of the class folder; what is left out is added."""
    folders, others = _entries(split)
    left_out.update(others)
    found = {}
    for folder in folders:
        try:
            folder.name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{str(folder)!r}: the name of the class is not UTF-8; rename the folder"
            ) from error
        found[folder.name], inside = find_images(folder)
        left_out.update(inside)
    return found


def _leave_out_unreadable(
    path: Path, by_split: dict[str, dict[str, list[Path]]], left_out: Counter[str]
) -> list[str]:
    """Take images out that cannot be opened; a remark names them."""
    lists = [files for by_class in by_split.values() for files in by_class.values()]
    if sum(map(len, lists)) > MOST_OPENED:
        return []
    unreadable = []
    for files in lists:
        bad = [file for file in files if not _opens(file)]
        files[:] = [file for file in files if file not in bad]
        unreadable += bad
    if not unreadable:
        return []
    left_out["unreadable image"] += len(unreadable)
    shown = first(str(file.relative_to(path)) for file in unreadable)
    return [f"images that cannot be read are left out: {shown}"]


def _opens(file: Path) -> bool:
    try:
        check_image(file)
    except (BadFileError, OSError):
        return False
    return True


def _no_class(training: Path, found: dict[str, list[Path]], left_out: Counter[str]) -> str:
    what = f"no image in its {len(found)} class folders" if found else "no class folder"
    left = listed(left_out)
    return (
        f"{training} holds {what}{f' (left out: {left})' if left else ''}; give a folder with "
        f"<class>/ or train/<class>/ in it, where images end in {', '.join(image_suffixes())}"
    )


def _refuse_splits_as_classes(path: Path, by_class: dict[str, list[Path]]) -> None:
    if all(split_of(name) for name in by_class):
        raise ValueError(
            f"{path} has {first(by_class)}, which hold images and no class folders; make "
            "train/<class>/ and test/<class>/"
        )
    for name, files in by_class.items():
        inside = {file.relative_to(path / name).parts[0] for file in files}
        if inside and all(split_of(part) and (path / name / part).is_dir() for part in inside):
            raise ValueError(
                f"{path / name} holds {first(sorted(inside))}; splits lie above classes, as in "
                f"train/<class>/, so give {path / name} if its folders are the splits"
            )


def _doubts(
    training: Path, by_class: dict[str, list[Path]], left_out: Counter[str], *, has_splits: bool
) -> list[str]:
    """Why the classes are perhaps not those that were meant."""
    doubts = []
    empty = [name for name, files in by_class.items() if not files]
    classes = [name for name, files in by_class.items() if files]
    like_splits = [name for name in classes if _SPLIT_OF.keys() & set(_words(name))]
    if empty:
        left_out["class folder without images"] += len(empty)
        doubts.append(f"classes without training images are left out: {first(empty)}")
    if like_splits and not has_splits:
        doubts.append(
            f"classes are named like splits: {first(like_splits)}; splits are folders of class "
            "folders that are named train, val and test"
        )
    alike = Counter(name.casefold().strip() for name in classes)
    twins = [name for name in classes if alike[name.casefold().strip()] > 1]
    if twins:
        doubts.append(f"classes differ in case or spaces alone: {first(twins)}")
    if len(classes) == 1:
        doubts.append(f"{classes[0]!r} is the only class; are the folders in it the classes?")
    loose = left_out[_LOOSE]
    if loose:
        doubts.append(f"{loose:,} images lie in no class folder and are left out")
    unread = {kind: count for kind, count in left_out.items() if kind in _UNREAD_IMAGES}
    if unread:
        doubts.append(
            f"{listed(unread)} are images of types that are not read; convert them to .png or .jpg"
        )
    return doubts


def _words(name: str) -> list[str]:
    """Words of a name in lower case; digits and signs part them, and capitals inside."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", parted)]
