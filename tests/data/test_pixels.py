"""Images of every depth, mode and orientation reach the network as people see them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tvtfast.common.foreign import BadFileError
from tvtfast.data import load_dataset
from tvtfast.data.pixels import MAX_PIXELS, as_rgb, image_suffixes, read_image

RAMP = np.tile(np.linspace(0, 1, 32), (16, 1))
"""Black on the left, white on the right."""
EIGHT = np.rint(RAMP * 255).astype(np.uint8)


def _seen(path: Path) -> np.ndarray[Any, Any]:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def _grey(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.repeat(values[:, :, None], 3, axis=2)


def _tiff(
    path: Path, values: np.ndarray[Any, Any], bits: int, photometric: int, order: str
) -> Path:
    """A grey TIFF file of one strip; ``values`` are its bytes."""
    height, width = RAMP.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height}
    data = values.tobytes()
    entries = {**tags, 273: 8 + 2 + 12 * (len(tags) + 2) + 4, 279: len(data)}
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in sorted(entries.items()):
        directory += struct.pack(f"{order}HHII", tag, 4, 1, value)
    header = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    path.write_bytes(header + directory + bytes(4) + data)
    return path


def _png(path: Path, depth: int, colour: int, rows: list[bytes], **chunks: bytes) -> Path:
    """A PNG file 2 pixels wide; ``colour`` is 0 for grey and 2 for RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", 2, len(rows), depth, colour, 0, 0, 0))]
    parts += [chunk(name.encode(), content) for name, content in chunks.items()]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    return path


def test_16_bit_grey_png_is_scaled(tmp_path: Path) -> None:
    sixteen = np.rint(RAMP * 65535).astype(np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "sixteen.png")
    assert np.array_equal(_seen(tmp_path / "sixteen.png"), _grey(EIGHT))


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_tiff_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    values = np.rint(RAMP * 65535).astype(f"{order}u2")
    path = _tiff(tmp_path / "sixteen.tif", values, 16, 1, order)
    assert np.array_equal(_seen(path), _grey(EIGHT))


def test_16_bit_grey_of_which_zero_is_white(tmp_path: Path) -> None:
    values = np.rint((1 - RAMP) * 65535).astype("<u2")
    path = _tiff(tmp_path / "inverted.tif", values, 16, 0, "<")
    assert np.array_equal(_seen(path), _grey(EIGHT))


def test_12_bit_grey_is_scaled_by_its_own_white(tmp_path: Path) -> None:
    pairs = np.rint(RAMP * 4095).astype(np.uint32).reshape(16, -1, 2)
    packed = pairs[..., 0] << 12 | pairs[..., 1]
    data = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)
    path = _tiff(tmp_path / "twelve.tif", data, 12, 1, "<")
    assert np.array_equal(_seen(path), _grey(EIGHT))


def test_16_bit_grey_pgm_and_jpeg_2000(tmp_path: Path) -> None:
    sixteen = np.rint(RAMP * 65535).astype(np.uint16)
    (tmp_path / "s.pgm").write_bytes(b"P5 32 16 65535\n" + sixteen.astype(">u2").tobytes())
    assert np.array_equal(_seen(tmp_path / "s.pgm"), _grey(EIGHT))
    if ".jp2" in image_suffixes():
        Image.fromarray(sixteen).save(tmp_path / "s.jp2", irreversible=False)
        assert np.array_equal(_seen(tmp_path / "s.jp2"), _grey(EIGHT))


def test_16_bit_colours_keep_their_high_bits(tmp_path: Path) -> None:
    rows = [struct.pack(">6H", 0, 257 * 100, 65535, 257, 0x1234, 0xFEDC)]
    path = _png(tmp_path / "colour.png", 16, 2, rows)
    assert _seen(path).tolist() == [[[0, 100, 255], [1, 0x12, 0xFE]]]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I;16N"])
def test_16_bit_grey_in_memory(mode: str) -> None:
    assert as_rgb(Image.new(mode, (1, 1), 257 * 77)).getpixel((0, 0)) == (77, 77, 77)


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (9, 9, 9, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 102), (153, 153, 153)),
        ("RGBa", (0, 0, 0, 0), (255, 255, 255)),
        ("LA", (9, 0), (255, 255, 255)),
        ("PA", (9, 0), (255, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", (255, 128, 128), (255, 255, 255)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
    ],
)
def test_every_mode(mode: str, colour: Any, seen: tuple[int, int, int]) -> None:
    found = as_rgb(Image.new(mode, (2, 2), colour)).getpixel((1, 1))
    assert found == pytest.approx(seen, abs=1 if mode == "LAB" else 0)


def test_printed_colours_of_jpeg_files(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    assert _seen(tmp_path / "red.jpg")[8, 8] == pytest.approx((255, 0, 0), abs=4)


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=1)
    image.save(tmp_path / "clear.gif", transparency=0)
    assert _seen(tmp_path / "plain.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert _seen(tmp_path / "clear.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert _seen(tmp_path / "clear.gif").tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_one_colour_that_is_transparent(tmp_path: Path) -> None:
    sixteen = [struct.pack(">2H", 0x0102, 0x0103)]
    for name, depth, colour, rows, key, seen in (
        ("l", 8, 0, [b"\x05\x06"], b"\0\x05", [255, 6]),
        ("rgb", 8, 2, [b"\1\2\3\4\5\6"], b"\0\1\0\2\0\3", [255, [4, 5, 6]]),
        ("sixteen", 16, 0, sixteen, b"\1\2", [255, 1]),
    ):
        found = _seen(_png(tmp_path / f"{name}.png", depth, colour, rows, tRNS=key))
        assert found.tolist() == [
            [[value] * 3 if isinstance(value, int) else value for value in seen]
        ], name


def test_two_cutouts_that_look_the_same_are_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shown = np.zeros((32, 32), bool)
    shown[8:24, 8:24] = True
    seen = []
    for name in ("first.png", "second.png"):
        pixels = rng.integers(0, 256, (32, 32, 4), dtype=np.uint8)
        pixels[..., 3] = 0
        pixels[shown] = (255, 0, 0, 255)
        Image.fromarray(pixels).save(tmp_path / name)
        seen.append(_seen(tmp_path / name))
    assert np.array_equal(*seen)
    assert (seen[0][~shown] == 255).all() and (seen[0][shown] == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    if suffix not in image_suffixes():
        pytest.skip(f"this Pillow reads no {suffix}")
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"phone{suffix}"
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    with Image.open(path) as image:
        # Pillow turns TIFF files by itself, once they are loaded
        image.load()
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(_seen(path), upright)
    corners = [upright[y, x].mean() > 128 for y in (0, -1) for x in (0, -1)]
    assert corners.index(True) == [0, 1, 3, 2, 0, 1, 3, 2][orientation - 1]


def test_damaged_exif_data_cost_no_image(tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    Image.fromarray(_grey(EIGHT)).save(path, exif=b"Exif\0\0MM\0\x2a\0\0\xff\xff", quality=95)
    assert _seen(path).shape == (16, 32, 3)


def test_an_orientation_that_cannot_be_read_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(image: Image.Image) -> Image.Exif:
        raise SyntaxError("not a TIFF file (test of orientation)")

    Image.fromarray(_grey(EIGHT)).save(tmp_path / "odd.jpg", quality=95)
    upright = _seen(tmp_path / "odd.jpg")
    monkeypatch.setattr(Image.Image, "getexif", broken)
    for _ in range(2):
        assert np.array_equal(_seen(tmp_path / "odd.jpg"), upright)
    (record,) = (one for one in caplog.records if "test of orientation" in one.getMessage())
    assert record.levelname == "WARNING" and "EXIF" in record.getMessage()


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for suffix in (".gif", ".png", ".webp", ".tif"):
        path = tmp_path / f"moving{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
        assert _seen(path)[0, 0].tolist() == [255, 0, 0] or suffix == ".webp"
        assert _seen(path)[0, 0, 0] > 250


@pytest.mark.parametrize(
    ("mode", "words"), [("I", "32-bit integer pixels"), ("F", "floating-point pixels")]
)
def test_pixels_without_black_and_white_are_refused(tmp_path: Path, mode: str, words: str) -> None:
    Image.new(mode, (2, 2), 1).save(tmp_path / "deep.tif")
    with pytest.raises(BadFileError, match=rf"deep\.tif .*{words} have no agreed black"):
        read_image(tmp_path / "deep.tif")


@pytest.mark.parametrize("side", [12_000, 14_000, 20_000])
def test_image_bombs_are_refused_by_name(tmp_path: Path, side: int) -> None:
    assert side**2 > MAX_PIXELS
    path = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(path)
    assert path.stat().st_size < 200_000
    with pytest.raises(BadFileError, match=r"bomb\.png .*more than 134,217,728 pixels"):
        read_image(path)


def test_no_program_is_run_for_an_image(tmp_path: Path) -> None:
    (tmp_path / "postscript.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(BadFileError, match="UnidentifiedImageError"):
        read_image(tmp_path / "postscript.png")


def test_training_reads_the_same_pixels(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "train" / "ant"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rint(RAMP * 65535).astype(np.uint16)).save(folder / "0.png", exif=exif)
    (image,) = load_dataset(tmp_path / "data").images
    assert np.array_equal(np.asarray(image), _seen(folder / "0.png"))
    assert np.array_equal(np.asarray(image), _grey(np.rot90(EIGHT, 3)))
