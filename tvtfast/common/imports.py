"""Modules of a user's own that a command imports, and the digests that a run knows them by."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path

_SUFFIX = ".py"
_INSTALLED = {"site-packages", "dist-packages"}

_digests: dict[str, str] = {}
"""Of what was imported, by module, when it was."""
_current: dict[str, str] = {}
"""Of what the command that runs asked for."""
_given: list[str] = []
"""How it was named there."""


class ModuleImportError(ImportError):
    """A module of a user's own cannot be imported; the message says why."""


def imported() -> dict[str, str]:
    """By module the SHA-256 of its sources: what results depend on beside tvtfast and packages."""
    return dict(_current)


def import_words() -> list[str]:
    """The flag and its values, for a command that goes on from the one that runs; empty without."""
    return ["--import", *_given] if _given else []


@contextmanager
def importing(given: Iterable[str]) -> Iterator[None]:
    """Import modules, and know their digests until the block ends.

    A file's folder, and the working folder for modules by name, is looked at last, so that nothing
    there hides an installed package.

    Args:
        given: Names of modules, or paths of Python files.

    Raises:
        ModuleImportError: There is no such module, another one has its name, or it fails.
    """
    added: list[str] = []
    try:
        for one in given:
            name, digest = _import(one, added)
            _current[name] = digest
            _given.append(one)
        yield
    finally:
        _current.clear()
        _given.clear()
        for folder in added:
            sys.path.remove(folder)


def _import(given: str, added: list[str]) -> tuple[str, str]:
    path = Path(given).expanduser().resolve() if given.endswith(_SUFFIX) else None
    if path is not None and not path.is_file():
        raise ModuleImportError(f"{given} does not exist; give a Python file, or a module by name")
    name = given if path is None else path.stem
    folder = str(Path.cwd() if path is None else path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
        added.append(folder)
        importlib.invalidate_caches()
    spec = _spec(given, name)
    if path is not None and Path(spec.origin or "").resolve() != path:
        raise ModuleImportError(
            f"{given} has the name of another module, {name!r} of {spec.origin}; rename the file"
        )
    if name not in _digests:
        known = set(sys.modules)
        _run(given, name, spec)
        _digests[name] = _digest(spec, set(sys.modules) - known)
    return name, _digests[name]


def _spec(given: str, name: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise ModuleImportError(f"{given} cannot be imported ({error})") from error
    if spec is None:
        raise ModuleImportError(
            f"there is no module {name!r} in {Path.cwd()} or among the installed ones; give a "
            "Python file, or a module by name"
        )
    return spec


def _run(given: str, name: str, spec: ModuleSpec) -> None:
    try:
        importlib.import_module(name)
    except Exception as error:  # code of others may raise anything
        places = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in places if frame.filename == spec.origin]
        where = f", line {own[-1].lineno}" if own else ""
        raise ModuleImportError(
            f"{given} cannot be imported{where} ({type(error).__name__}: "
            f"{' '.join(str(error).split())})"
        ) from error


def _digest(spec: ModuleSpec, new: set[str]) -> str:
    """Of a module, and of what it imported from its own folder or package."""
    own = Path(spec.origin or "").resolve()
    loaded = {getattr(sys.modules.get(name), "__file__", None) for name in new}
    files = {own} | {Path(file).resolve() for file in loaded if file is not None}
    digest = hashlib.sha256()
    for file in sorted(files):
        if own.parent not in file.parents or not file.is_file():
            continue
        inside = file.relative_to(own.parent)
        if not _INSTALLED & set(inside.parts):
            digest.update(f"{inside.as_posix()}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
