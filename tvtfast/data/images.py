"""Where the pixels of a data set are: in one array, or in image files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from tvtfast.common.foreign import BadFileError
from tvtfast.data.pixels import read_image

_BLOCK = 2**20


class ImageSource(Protocol):
    """Indexable images: ``source[index]`` is an RGB PIL image, ``len(source)`` their number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image.Image: ...


class ArrayImages:
    """Images held in memory.

    Args:
        pixels: uint8, ``[N, H, W, 3]`` (RGB) or ``[N, H, W]`` (grey, repeated in three channels).
        what: What the array is called in error messages, such as ``"set.npz: x_train"``.

    Raises:
        ValueError: For any other dtype or shape, or no image at all.
    """

    def __init__(self, pixels: npt.NDArray[Any], what: str) -> None:
        is_image_stack = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)
        if pixels.dtype != np.uint8 or not is_image_stack or pixels.size == 0:
            raise ValueError(
                f"{what} is {pixels.dtype} of shape {list(pixels.shape)}; allowed is uint8 of "
                "shape [N, H, W, 3] (RGB) or [N, H, W] (grey), with at least one image"
            )
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def content(self, chosen: Sequence[int] | None = None) -> Iterator[bytes | memoryview]:
        """The bytes that the images, or some of them, are made of, and what tells them apart."""
        rows = range(len(self)) if chosen is None else chosen
        yield f"array{[len(rows), *self.pixels.shape[1:]]}".encode()
        for row in rows:
            yield np.ascontiguousarray(self.pixels[row]).data


class ImageFiles:
    """Images read from their files at every access.

    Args:
        paths: One image file per image.
        what: What the list is called in error messages, such as ``"flowers102 train"``.

    Raises:
        BadFileError: Where a file does not exist; on access, see `tvtfast.data.read_image`.
    """

    def __init__(self, paths: Sequence[Path], what: str) -> None:
        missing = [path for path in paths if not os.path.isfile(path)]
        if missing:
            raise BadFileError(
                f"{what}: {len(missing)} of {len(paths)} image files are missing, the first is "
                f"{missing[0]}; extract the archive again"
            )
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        return read_image(self.paths[index])

    def content(self, chosen: Sequence[int] | None = None) -> Iterator[bytes | memoryview]:
        """The bytes of the files, or of some, each after its size; where they lie plays no part."""
        for path in self.paths if chosen is None else [self.paths[row] for row in chosen]:
            with open(path, "rb") as file:
                yield f"file[{path.stat().st_size}]".encode()
                while block := file.read(_BLOCK):
                    yield block


class ChosenImages:
    """Some images of a source, which stay where they are.

    Args:
        source: All images.
        rows: Which of them, in which order.
    """

    def __init__(self, source: ImageSource, rows: Sequence[int]) -> None:
        if isinstance(source, ChosenImages):
            inner = source.rows
            source, rows = source.source, [inner[row] for row in rows]
        self.source: ImageSource = source
        self.rows: tuple[int, ...] = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Image.Image:
        return self.source[self.rows[index]]


def content_of(images: ImageSource) -> Iterator[bytes | memoryview]:
    """What the pixels of any source depend on, block by block.

    Chosen images give what they would give as a source of their own.
    """
    source: ImageSource = images
    rows: tuple[int, ...] | None = None
    if isinstance(images, ChosenImages):
        source, rows = images.source, images.rows
    if isinstance(source, (ArrayImages, ImageFiles)):
        yield from source.content(rows)
        return
    for index in range(len(images)):
        image = images[index]
        yield f"{image.mode}{list(image.size)}".encode()
        yield image.tobytes()
