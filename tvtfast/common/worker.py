"""Which process works on something, and whether it still does."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import psutil

HEARTBEAT = 10.0
"""Seconds between two signs of life."""
_SILENCE = 12 * HEARTBEAT
"""After so many seconds a process of another machine counts as dead."""
_SAME_START = 2.0
"""Clocks of one machine agree on the start of a process up to so many seconds."""


def this_process() -> dict[str, Any]:
    """This process as plain values: ``pid``, ``created`` (seconds since 1970), ``host``, and the
    ``namespace`` that the number belongs to, since containers count their own."""
    own = psutil.Process()
    return {
        "pid": own.pid,
        "created": own.create_time(),
        "host": platform.node(),
        "namespace": _namespace(),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def is_near(process: Mapping[str, Any]) -> bool:
    """Whether a process is, or was, one of this machine and container."""
    return process.get("host") == platform.node() and process.get("namespace") == _namespace()


def exists(process: Mapping[str, Any]) -> bool:
    """Whether a process of this machine still runs; one that got its number later is another."""
    with suppress(KeyError, TypeError, ValueError):
        created = _start_of(process["pid"])
        return created is not None and abs(created - process["created"]) < _SAME_START
    return False


def existed(pid: int, moment: float) -> bool:
    """Whether a process of this machine still runs that ran at a time in seconds since 1970."""
    created = _start_of(pid)
    return created is not None and created <= moment + _SAME_START


def here() -> str:
    """Eight hexadecimal digits for this machine and container."""
    return hashlib.sha256(f"{platform.node()} {_namespace()}".encode()).hexdigest()[:8]


def is_alive(process: Any, heartbeat: Any) -> bool:
    """Whether a process still works.

    Args:
        process: What `this_process` said of it.
        heartbeat: When it last gave a sign of life, as `now` writes it. It decides about processes
            of other machines alone.
    """
    if not isinstance(process, Mapping):
        return False
    if is_near(process):
        return exists(process)
    silent = seconds_since(heartbeat)
    return silent is not None and abs(silent) < _SILENCE


def seconds_since(moment: Any) -> float | None:
    """How long ago a time was that `now` wrote; ``None`` for anything else."""
    with suppress(TypeError, ValueError):
        return (datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds()
    return None


def _start_of(pid: int) -> float | None:
    """When the process of a number began; ``None`` where there is none that runs."""
    with suppress(psutil.Error):
        found = psutil.Process(pid)
        if found.status() != psutil.STATUS_ZOMBIE:
            return float(found.create_time())
    return None


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
