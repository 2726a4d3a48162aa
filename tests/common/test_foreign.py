"""Whatever a parser raises comes out as one error that names the file."""

import binascii
import struct

import pytest

from tvtfast.common.foreign import BadFileError, reading


class OwnError(BadFileError):
    pass


@pytest.mark.parametrize(
    "raised",
    [
        IndexError("list index"),
        struct.error("unpack"),
        AssertionError("saved_id must be a tuple"),
        OverflowError("inf"),
        RecursionError(),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"\x80", 0, 1, "invalid start byte"),
        binascii.Error("padding"),
        OSError("image file is truncated"),
        SyntaxError("broken PNG file"),
        KeyError("fingerprint"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_becomes_an_error_with_the_name_of_the_file(raised, tmp_path):
    with (
        pytest.raises(OwnError) as caught,
        reading(tmp_path / "a.png", "an image", advice="remove it", error=OwnError),
    ):
        raise raised
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'a.png'} cannot be read as an image (")
    assert type(raised).__name__ in text and text.endswith("; remove it")
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    "raised", [FileNotFoundError("a"), PermissionError("a"), BadFileError("a")]
)
def test_errors_that_say_enough_pass(raised):
    with pytest.raises(type(raised)) as caught, reading("b", "an image", advice="remove it"):
        raise raised
    assert caught.value is raised


def test_a_user_who_interrupts_is_no_bad_file():
    with pytest.raises(KeyboardInterrupt), reading("b", "an image", advice="remove it"):
        raise KeyboardInterrupt


def test_only_the_first_line_of_a_long_complaint_is_told():
    with pytest.raises(BadFileError) as caught, reading("b", "an image", advice="remove it"):
        raise RuntimeError("first\n" + "page " * 10_000)
    assert len(str(caught.value)) < 400 and "page" not in str(caught.value)
