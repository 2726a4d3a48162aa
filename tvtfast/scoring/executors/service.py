"""The other end of a worker process: units come in, results go out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

import torch

from tvtfast.scoring.executors.parcel import pack, pack_error, unpack, versions


class Desk:
    """Runs units one after the other, and remembers their context.

    Args:
        threads: Of PyTorch.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._context: Any = None

    def serve(self, context: bytes | None, unit: bytes) -> tuple[bool, bytes]:
        """Run a unit.

        Args:
            context: What this unit and those to come share; ``None`` for that of the last.
            unit: The unit.

        Returns:
            Whether it returned, and what it returned or raised.
        """
        try:
            if context is not None:
                self._context = None  # two may not fit
                self._context = unpack(context)
            return True, pack(unpack(unit).run(self._context))
        except Exception as error:
            return False, pack_error(error)


def serve(connection: Connection, threads: int) -> None:
    """Run units until nobody gives any.

    Args:
        connection: To who gives them.
        threads: Of PyTorch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who gives the units decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    desk = Desk(threads)
    with suppress(EOFError, OSError):  # nobody is there any more
        connection.send(versions())
        while True:
            connection.send(desk.serve(*connection.recv()))


def _end_with_parent() -> None:
    """A parent that was killed closes no connection that a computation would notice."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        sys.stderr.flush()
        os._exit(1)
