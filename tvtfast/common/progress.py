"""How far some work is: a bar on a terminal, elsewhere a line every ten per cent.

Everything goes to standard error; results alone are on standard output.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

_PARTS = 10
"""Lines of one piece of work; also units between two lines where its end is not known."""
_SILENT = 60.0
"""Seconds after which a line is due however little was done."""


class Progress:
    """Counts what is done and shows nothing; a context manager.

    Args:
        what: The work, such as ``scoring``.
        total: Units of the whole work; ``None`` where that is not known.
        unit: What is counted, in the singular.
        initial: Units that were done before.

    Attributes:
        n: Units that are done.
        text: What stands beside the count, such as a loss.
        started: When the work began, on the clock of ``time.monotonic``.
        thread: The thread that began it.
    """

    def __init__(self, what: str, total: int | None, unit: str, initial: int) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.n = self.initial = initial
        self.text = ""
        self.started, self.thread = time.monotonic(), threading.get_ident()
        _UNDER_WAY.append(self)

    def update(self, units: int = 1) -> None:
        """So many further units are done."""
        self.n += units

    def describe(self, text: str) -> None:
        """What the work is called from now on."""
        self.what = text

    def remark(self, text: str) -> None:
        """What stands beside the count, such as a loss."""
        self.text = text

    def finish(self) -> None:
        """What is left is not going to be done, and the work is at its end."""
        self.total = self.n

    def close(self) -> None:
        """Show nothing further."""
        if self in _UNDER_WAY:
            _UNDER_WAY.remove(self)

    @property
    def seconds(self) -> float:
        """Since the work began."""
        return time.monotonic() - self.started

    @property
    def remaining(self) -> float | None:
        """Seconds until the end at the pace of up to now; ``None`` where nothing can be told."""
        done = self.n - self.initial
        if self.total is None or done <= 0:
            return None
        return max(0, self.total - self.n) * self.seconds / done

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_UNDER_WAY: list[Progress] = []
"""Of all threads, what began last at the end."""


def under_way(thread: int | None = None) -> list[Progress]:
    """Work that has begun and not ended.

    Args:
        thread: Only that which this thread began, see ``threading.get_ident``.
    """
    return [one for one in list(_UNDER_WAY) if thread is None or one.thread == thread]


def track(
    what: str, *, total: int | None = None, unit: str, initial: int = 0, show: bool
) -> Progress:
    """Show how far some work is.

    Args:
        what: The work, such as ``scoring``.
        total: Units of it; ``None`` where that is not known.
        unit: What is counted, in the singular.
        initial: Units that are done already.
        show: Show it at all.
    """
    if not show:
        return Progress(what, total, unit, initial)
    if _is_live():
        return _Bar(what, total, unit, initial)
    return _Lines(what, total, unit, initial)


def note(text: str) -> None:
    """One line on standard error, above whatever bar is shown there."""
    if _is_live():
        _bar_class().write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


class _Lines(Progress):
    """A line whenever another tenth is done or a minute has passed, and nothing that is drawn
    twice."""

    def __init__(self, what: str, total: int | None, unit: str, initial: int) -> None:
        super().__init__(what, total, unit, initial)
        self.told = self._tenth()
        self.last = self.started

    def update(self, units: int = 1) -> None:
        super().update(units)
        if self._tenth() > self.told or time.monotonic() - self.last > _SILENT:
            self.told = self._tenth()
            self._tell()

    def finish(self) -> None:
        ends = self.total is not None and self.n < self.total
        super().finish()
        if ends:
            self._tell()

    def _tenth(self) -> int:
        return self.n // _PARTS if self.total is None else self.n * _PARTS // max(self.total, 1)

    def _tell(self) -> None:
        of = "" if self.total is None else f" of {self.total:,}"
        share = "" if self.total is None else f" ({self.n / max(self.total, 1):.0%})"
        beside = f", {self.text}" if self.text else ""
        self.last = time.monotonic()
        print(
            f"{self.what}: {self.n:,}{of} {self.unit}s{share}, {self.seconds:.0f} s{beside}",
            file=sys.stderr,
            flush=True,
        )


class _Bar(Progress):
    """tqdm's bar."""

    def __init__(self, what: str, total: int | None, unit: str, initial: int) -> None:
        super().__init__(what, total, unit, initial)
        self.bar = _bar_class()(total=total, initial=initial, desc=what, unit=unit)

    def update(self, units: int = 1) -> None:
        super().update(units)
        self.bar.update(units)

    def describe(self, text: str) -> None:
        super().describe(text)
        self.bar.set_description(text)

    def remark(self, text: str) -> None:
        super().remark(text)
        self.bar.set_postfix_str(text, refresh=False)

    def finish(self) -> None:
        super().finish()
        self.bar.total = self.n
        self.bar.refresh()

    def close(self) -> None:
        super().close()
        self.bar.close()


def _is_live() -> bool:
    """Whether what is drawn can be drawn over: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _bar_class() -> Any:
    """tqdm's class of this place, without the thread that watches over its bars.

    The caller's own bars keep theirs: the setting is that of a class.
    """
    from tqdm.auto import tqdm

    return type("Bar", (tqdm,), {"monitor_interval": 0})
