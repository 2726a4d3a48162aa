"""How an image file becomes 8-bit RGB: as people see it, or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import Image, features
from PIL.TiffImagePlugin import TiffImageFile

from tvtfast.common.foreign import reading

_logger = logging.getLogger("tvtfast.data")

MAX_PIXELS = 2**27
"""Largest image that is read, in pixels; decoding takes up to 12 bytes for each."""
_TOO_LARGE = f"more than {MAX_PIXELS:,} pixels, which is the limit; scale it down"

_PILLOW_FEATURES = {
    "AVIF": "avif",
    "BMP": "pil",
    "DIB": "pil",
    "GIF": "pil",
    "JPEG": "jpg",
    "JPEG2000": "jpg_2000",
    "MPO": "jpg",
    "PNG": "zlib",
    "PPM": "pil",
    "QOI": "pil",
    "TIFF": "pil",
    "WEBP": "webp",
}
"""Formats that are read, and what Pillow must be built with. Others run programs (EPS), have no
signature (TGA), or hold no picture (HDF5)."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows an image upright, by its EXIF orientation. ``ImageOps.exif_transpose`` does the same,
but also writes the EXIF data anew, which fails for tags that some cameras write."""

_EXIF_ORIENTATION = 0x0112
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """The first picture of a file as 8-bit RGB, see `as_rgb`.

    Args:
        path: A file in one of the formats of `image_suffixes`; the content decides, not the name.

    Raises:
        BadFileError: Pillow cannot decode it, it has more than `MAX_PIXELS` pixels, or its pixels
            have no agreed black and white; the message names the file.
        OSError: It is missing, or not to be read by this user.
    """
    with _opened(path) as image:
        return as_rgb(image)


def check_image(path: str | os.PathLike[str]) -> None:
    """Raise what `read_image` raises, as far as the first bytes of the file tell; some 6,000 files
    a second."""
    with _opened(path) as image:
        _refuse_deep(image)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    with reading(path, "an image", advice="replace the file or remove it"):
        try:
            with Image.open(path, formats=_formats()) as image:
                width, height = image.size
                # Pillow's own limit is higher, and programs set it to none
                if width * height > MAX_PIXELS:
                    raise ValueError(_TOO_LARGE)
                yield image
        except Image.DecompressionBombError as error:
            raise ValueError(_TOO_LARGE) from error


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as people see it: a new image of mode ``RGB``.

    It is turned upright by its EXIF orientation; one that cannot be read counts as upright, as in
    image viewers. What is transparent shows a white background. Grey values of 12 and 16 bits are
    scaled to 0..255 and rounded; wider channels of colour images lose their low bits. Of an
    animation it is the first frame. Colour profiles play no part.

    Raises:
        ValueError: For 32-bit integers and floating-point numbers, which have no agreed black and
            white, and for modes that Pillow cannot convert.
    """
    _refuse_deep(image)
    image.load()  # which also turns TIFF files upright
    if image.mode.startswith("I"):
        rgb = _grey_of_16_bits(image).convert("RGB")
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        rgb = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    else:
        rgb = image.convert("RGB")
    turn = _TURNS.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def _refuse_deep(image: Image.Image) -> None:
    has_16_bits = image.mode == "I" and image.format in ("PNG", "PPM")
    if image.mode == "F" or (image.mode == "I" and not has_16_bits):
        kind = "floating-point" if image.mode == "F" else "32-bit integer"
        raise ValueError(
            f"{kind} pixels have no agreed black and white; save the image with 8 or 16 bits per "
            "channel"
        )


@cache
def image_suffixes() -> tuple[str, ...]:
    """How names of readable images end, in lower case, sorted; capitals are as good."""
    known = Image.registered_extensions()
    return tuple(sorted(suffix for suffix, name in known.items() if name in _supported()))


@cache
def _formats() -> tuple[str, ...]:
    """Formats that ``Image.open`` is to try; it finds MPO under JPEG."""
    Image.init()
    return tuple(name for name in _supported() if name in Image.OPEN)


def _supported() -> list[str]:
    built_with = features.get_supported()
    return [name for name, needs in _PILLOW_FEATURES.items() if needs in built_with]


def _grey_of_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    tags = dict(image.tag_v2) if isinstance(image, TiffImageFile) else {}
    (bits,) = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))
    white = 2**bits - 1
    grey = values.astype(np.uint32)
    grey *= 255
    grey += white // 2
    grey //= white
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    grey[values == image.info.get("transparency")] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception as error:  # Pillow's parser raises whatever it likes; the pixels are there
        _say_unturned(f"{type(error).__name__}: {error}")
        return 1


@cache
def _say_unturned(reason: str) -> None:
    """Once for every reason, not for every image in every epoch."""
    _logger.warning(
        "which way up an image is cannot be read from its EXIF data (%s); such images are taken as "
        "their pixels lie",
        reason,
    )
