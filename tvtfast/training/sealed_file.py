"""A file of ``torch.save`` that carries the SHA-256 of itself.

The file is a ZIP archive, and the digest is its comment: one file, which takes the place of the one
before it at once, and which ``torch.load`` reads as ever.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch

_LABEL = b"tvtfast sha256 "
_SEAL = len(_LABEL) + 2 * hashlib.sha256().digest_size
_END_RECORD = b"PK\x05\x06"
_END_SIZE = 22
_COMMENT_SIZE = 2
_BLOCK = 2**20


def save_sealed(content: Any, path: Path) -> None:
    """``torch.save``, and the digest of all that was written at the end."""
    torch.save(content, path)
    with open(path, "r+b") as file:
        file.seek(-_END_SIZE, os.SEEK_END)
        record = file.read()
        if not record.startswith(_END_RECORD) or any(record[-_COMMENT_SIZE:]):
            raise RuntimeError("torch.save wrote another format than a ZIP archive")
        file.seek(-_COMMENT_SIZE, os.SEEK_END)
        file.write(_SEAL.to_bytes(_COMMENT_SIZE, "little"))
        size = file.tell()
        file.write(_LABEL + _digest(file, size).encode())


def load_sealed(path: Path, *, mmap: bool = False) -> tuple[Any, bool]:
    """The content on the CPU, nothing in it executed, and whether a digest vouches for it.

    Args:
        path: The file.
        mmap: Leave tensors in the file, and look for no digest: for the little that is said beside
            them.

    Raises:
        ValueError: The digest is that of another content.
        Exception: Whatever ``torch.load`` raises.
    """
    sealed = not mmap and _is_sealed(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap), sealed


def _is_sealed(path: Path) -> bool:
    size = path.stat().st_size - _SEAL
    if size < _END_SIZE:
        return False
    with open(path, "rb") as file:
        file.seek(size)
        seal = file.read()
        if not seal.startswith(_LABEL):
            return False
        if seal.removeprefix(_LABEL).decode("ascii", "replace") != _digest(file, size):
            raise ValueError("its SHA-256 is another than the one in it")
    return True


def _digest(file: BinaryIO, size: int) -> str:
    """SHA-256 of the first bytes of a file, whose position is after them again in the end."""
    digest = hashlib.sha256()
    file.seek(0)
    while size:
        block = file.read(min(size, _BLOCK))
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
