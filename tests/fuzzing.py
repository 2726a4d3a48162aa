"""Damaged files: `mutations` makes them, `survey` gives them to a loader and holds it to its word.

Tests reach this module through the fixture ``fuzzing``.
"""

from __future__ import annotations

import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np

SECONDS = 5.0
"""A loader that takes longer hangs."""

MEBIBYTE = 2**20

_TOKENS = tuple(
    token.encode()
    for token in (
        *('"', "{", "}", "[", "]", "null", "true", "NaN", "Infinity", "1e999", "-1", "0"),
        *("9" * 30, "9" * 5000, "[" * 2000, "\x00", "\ud800".encode("unicode-escape").decode()),
    )
)
"""What parsers of text stumble over."""

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What readers of sizes stumble over."""


class HangError(BaseException):
    """No ``Exception``, so that no loader turns it into an error of its own."""


def mutations(whole: bytes, count: int, *, seed: int = 0) -> Iterator[bytes]:
    """``count`` damaged forms of a file, the same for the same seed.

    One to four times each: bits and bytes are changed, numbers of a header are made extreme, the
    file is cut short, a part is removed, inserted, repeated or swapped with another, a digit is
    changed, or a token of some text format is put in. Half of the changes hit the first or the last
    256 bytes, where formats keep their headers and directories.
    """
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        data = bytearray(whole)
        for _ in range(rng.integers(1, 5)):
            _KINDS[rng.integers(len(_KINDS))](data, rng)
        yield bytes(data)


def survey(
    load: Callable[[Path], object],
    path: Path,
    inputs: Iterable[bytes],
    *,
    documented: tuple[type[Exception], ...] = (ValueError, OSError),
    memory: int = 256 * MEBIBYTE,
) -> Counter[str]:
    """Write each input to ``path`` and load it.

    Args:
        load: Takes the path.
        path: The file that is written anew each time.
        inputs: Contents of files.
        documented: What the loader may raise; the message must hold the name of the file.
        memory: Bytes by which the resident memory of the process may exceed, while one input is
            loaded, what it was before.

    Returns:
        How many inputs loaded (``""``), and how many raised which exception.

    Raises:
        AssertionError: For anything else, with the number of the input.
    """
    outcomes: Counter[str] = Counter()
    for number, content in enumerate(inputs):
        path.write_bytes(content)
        before = _peak(reset=True)
        started = time.monotonic()
        outcome = ""
        try:
            with _limited(4 * SECONDS):
                load(path)
        except documented as error:
            outcome = type(error).__name__
            assert path.name in str(error), f"input {number}: {error!r} does not name {path.name}"
        except BaseException as error:
            raise AssertionError(f"input {number} ended in {error!r}") from error
        seconds, grown = time.monotonic() - started, _peak() - before
        assert seconds < SECONDS, f"input {number} took {seconds:.1f} s"
        assert grown < memory, f"input {number} took {grown / MEBIBYTE:.0f} MiB"
        outcomes[outcome] += 1
    return outcomes


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError(f"it was stopped after {seconds:.0f} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _peak(*, reset: bool = False) -> int:
    """Largest resident memory so far in bytes; where the system can forget it, since ``reset``."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """An index into ``data``."""
    size = max(len(data), 1)
    near = int(rng.integers(min(256, size)))
    return (near, size - 1 - near, *rng.integers(size, size=2).tolist())[rng.integers(4)]


def _part(data: bytearray, rng: np.random.Generator) -> slice:
    start = _place(data, rng)
    return slice(start, start + int(rng.integers(1, 65)))


def _flip_bit(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _change_bytes(data: bytearray, rng: np.random.Generator) -> None:
    part = data[_part(data, rng)]
    data[_part(data, rng)] = rng.bytes(len(part))


def _make_extreme(data: bytearray, rng: np.random.Generator) -> None:
    value, width = _NUMBERS[rng.integers(len(_NUMBERS))], (1, 2, 4, 8)[rng.integers(4)]
    order = ("little", "big")[rng.integers(2)]
    start = _place(data, rng)
    data[start : start + width] = (value % 256**width).to_bytes(width, order)


def _truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    del data[_part(data, rng)]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    data[start:start] = rng.bytes(int(rng.integers(1, 65)))


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    part = _part(data, rng)
    data[part] = data[part] * int(rng.integers(2, 17))


def _swap(data: bytearray, rng: np.random.Generator) -> None:
    first, second = _part(data, rng), _part(data, rng)
    data[first], data[second] = data[second], data[first]


def _change_digit(data: bytearray, rng: np.random.Generator) -> None:
    digits = [index for index, byte in enumerate(data[:100_000]) if 0x30 <= byte <= 0x39]
    if digits:
        data[digits[rng.integers(len(digits))]] = int(rng.integers(0x30, 0x3A))


def _put_token(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    replaced = int(rng.integers(9))
    data[start : start + replaced] = _TOKENS[rng.integers(len(_TOKENS))]


_KINDS = (
    _flip_bit,
    _change_bytes,
    _make_extreme,
    _truncate,
    _remove,
    _insert,
    _repeat,
    _swap,
    _change_digit,
    _put_token,
)
