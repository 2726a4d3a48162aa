"""What a run shows of itself while it works."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from tvtfast.common.fallbacks import logger
from tvtfast.common.progress import under_way

PERIOD = 3.0
"""Seconds between two pictures of a run."""
_SHARE = 0.02
"""Of the time, at most so much is spent on pictures."""
_LOG_LINES = 200

View: TypeAlias = Callable[[], Any]
Draw: TypeAlias = Callable[[dict[str, Any]], object]


class Board:
    """What there is to see of a run: views that its code offers, its log, and work under way.

    A view is a function without arguments that returns plain values. It is asked from another
    thread whenever somebody looks, so it changes nothing and copies what may change meanwhile.
    """

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._thread = threading.get_ident()

    def offer(self, name: str, view: View) -> None:
        """Show what ``view`` returns under a name, in place of what was there."""
        self._views[name] = view

    def look(self) -> dict[str, Any]:
        """All there is to see at this moment, as plain values."""
        works = [
            {
                "what": work.what,
                "unit": work.unit,
                "done": work.n,
                "total": work.total,
                "text": work.text,
                "seconds": work.seconds,
                "remaining": work.remaining,
            }
            for work in under_way(self._thread)
        ]
        views = {name: view() for name, view in list(self._views.items())}
        return {"works": works, "log": list(self._log), **views}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep the last lines of the library's log while the block runs."""
        handler = _Kept(self._log)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _Kept(logging.Handler):
    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


class Painter:
    """Draws a board every few seconds, from a thread that ends with the block.

    A picture that fails ends the drawing and nothing else; the log says so.

    Args:
        board: What is drawn.
        draw: Draws what `Board.look` returns; without it there are neither pictures nor a thread.
    """

    def __init__(self, board: Board, draw: Draw | None) -> None:
        self._board, self._draw = board, draw
        self._over, self._has_drawn, self._works = threading.Event(), False, draw is not None
        self._thread = threading.Thread(target=self._keep_drawing, name="tvtfast-page", daemon=True)

    def __enter__(self) -> Painter:
        if self._works:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def finish(self) -> None:
        """Draw the end, where the run lasted long enough to be drawn before."""
        if self._has_drawn and self._works:
            self._paint()

    def _keep_drawing(self) -> None:
        wait = PERIOD
        while self._works and not self._over.wait(wait):
            started = time.monotonic()
            self._paint()
            wait = max(PERIOD, (time.monotonic() - started) / _SHARE)

    def _paint(self) -> None:
        assert self._draw is not None
        self._has_drawn = True
        try:
            self._draw(self._board.look())
        except Exception as error:  # a picture is worth less than the run
            self._works = False
            logger.warning("the page of the running work is drawn no more: %r", error)
