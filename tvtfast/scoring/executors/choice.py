"""Which executor is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvtfast.common import checks
from tvtfast.common.optional import need
from tvtfast.scoring.executors.base import Executor
from tvtfast.scoring.executors.processes import Processes

RAY = "ray"
_OLDEST_RAY = "2.40"


def check_executor(given: Any) -> None:
    """Refuse what names no executor.

    Raises:
        ValueError: Neither ``None``, a number of workers of at least 1, ``ray``,
            ``ray://HOST:PORT`` nor an `Executor`.
        ImportError: Ray is meant, and not installed.
    """
    if given is None or isinstance(given, Executor):
        return
    if isinstance(given, str):
        if given != RAY and not given.startswith(f"{RAY}://"):
            raise ValueError(
                f"executor is {given!r}; give a number of processes, 'ray' for a cluster that runs "
                "or is begun on this machine, or 'ray://HOST:PORT'"
            )
        need("ray", _OLDEST_RAY, what=f"executor {given!r}", extra="ray")
        return
    checks.whole("executor", given, least=1)


@contextmanager
def at_work(given: Executor | int | str | None) -> Iterator[Executor | None]:
    """The executor that is meant; one that was made for this is closed afterwards."""
    if given is None or isinstance(given, Executor):
        yield given
        return
    with chosen(given) as executor:
        yield executor


def chosen(given: Executor | int | str) -> Executor:
    """The executor that is meant; its workers begin when there is work.

    Raises:
        ValueError, ImportError: As `check_executor` does.
    """
    check_executor(given)
    if isinstance(given, Executor):
        return given
    if isinstance(given, str):
        from tvtfast.scoring.executors.ray_cluster import RayCluster

        return RayCluster(None if given == RAY else given)
    return Processes(given)
