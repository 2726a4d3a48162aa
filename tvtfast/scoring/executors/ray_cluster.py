"""Workers that are actors of a cluster of Ray; the only file that knows Ray."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from tvtfast.common import checks
from tvtfast.scoring.executors.base import (
    Begun,
    Context,
    Ended,
    Event,
    Executor,
    Raised,
    Returned,
    Worker,
)
from tvtfast.scoring.executors.parcel import ExecutorError, unpack_error, versions
from tvtfast.scoring.executors.service import Desk

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OWN = "TVTFAST_"
"""Environment variables that workers are given."""


class RayCluster(Executor):
    """Workers that are actors of Ray: one per GPU, or per ``threads`` cores where there is none.

    A session of Ray that this process has joined is used. Otherwise a cluster is joined, or one is
    begun on this machine where none runs, and left when the executor is closed. What all units
    share lies in the object store of every node once. Every node has the same versions of tvtfast
    and torch.

    Args:
        address: ``ray://HOST:PORT``, or any other address of Ray; ``None`` for a cluster that
            runs on this machine or is begun there.
        workers: How many; default as many as there is room for.
        threads: Of each; and the cores that it takes.

    Raises:
        ValueError: A number below 1.
        ExecutorError: There is no cluster at the address, or it has no core that is as large.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, threads: int = 1
    ) -> None:
        self.address, self.threads = address, checks.whole("threads", threads, least=1)
        self._asked = None if workers is None else checks.whole("workers", workers, least=1)
        self._joined, self._shared = False, (Context(None), None)
        self._join()
        super().__init__(self._asked or self._room())

    def start(self) -> Worker:
        self._join()
        return _Actor(self)

    def events(self, workers: Sequence[Worker]) -> list[tuple[Worker, Event]]:
        import ray

        of = {worker.said: worker for worker in workers if isinstance(worker, _Actor)}
        ray.wait(list(of), num_returns=1)
        ready, _ = ray.wait(list(of), num_returns=len(of), timeout=0)
        return [(of[said], of[said].event()) for said in ready]

    def share(self, context: Context) -> Any:
        """A reference to a packed context in the object store."""
        import ray

        if self._shared[0] is not context:
            self._shared = context, ray.put(context.packed)
        return self._shared[1]

    def close(self) -> None:
        super().close()
        self._leave()

    def __reduce__(self) -> tuple[Any, ...]:
        return RayCluster, (self.address, self._asked, self.threads)

    def _join(self) -> None:
        import ray

        if ray.is_initialized():
            return
        try:
            ray.init(
                address=self.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if self.address else {"include_dashboard": False}),
            )
        except ConnectionError as error:
            raise ExecutorError(
                f"there is no cluster of Ray at {self.address} ({error}); begin one with "
                "'ray start --head', or leave the address out"
            ) from error
        self._joined = True

    def _leave(self) -> None:
        import ray

        self._shared = Context(None), None
        if self._joined:
            self._joined = False
            ray.shutdown()

    def _room(self) -> int:
        import ray

        found = ray.cluster_resources()
        room = int(found.get("GPU", 0)) or int(found.get("CPU", 0)) // self.threads
        if not room:
            self._leave()
            raise ExecutorError(
                f"the cluster has {found.get('CPU', 0):.0f} cores, and a worker takes "
                f"{self.threads}; lower threads"
            )
        return room


class _Actor:
    def __init__(self, cluster: RayCluster) -> None:
        import ray

        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        kind = ray.remote(RayDesk).options(num_cpus=cluster.threads, num_gpus=gpus)
        variables = {name: os.environ[name] for name in os.environ if name.startswith(_OWN)}
        self._actor = kind.remote(cluster.threads, variables)
        self._cluster, self._context, self._begun = cluster, Context(None), False
        self.said = self._actor.versions.remote()

    def give(self, context: Context, unit: bytes) -> None:
        shared = None if self._context is context else self._cluster.share(context)
        self._context = context
        self.said = self._actor.serve.remote(shared, unit)

    def event(self) -> Event:
        """What it says; only when it has something to say."""
        import ray

        try:
            said = ray.get(self.said)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            return Ended(_how(error))
        if not self._begun:
            self._begun = True
            return Begun(said)
        returned, packed = said
        return Returned(packed) if returned else Raised(unpack_error(packed))

    def end(self) -> None:
        import ray

        if ray.is_initialized():
            ray.kill(self._actor)


def _how(error: Exception) -> str:
    """First and last line of a message of Ray, without its colours."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' ... '.join(dict.fromkeys((lines[0], lines[-1])))}"[:500]


class RayDesk:
    """A desk that is an actor.

    Args:
        threads: Of PyTorch.
        variables: Of the environment.
    """

    def __init__(self, threads: int, variables: dict[str, str]) -> None:
        os.environ.update(variables)
        self._desk = Desk(threads)

    def versions(self) -> dict[str, str]:
        """Of what its results depend on."""
        return versions()

    def serve(self, context: bytes | None, unit: bytes) -> tuple[bool, bytes]:
        """Run a unit, see `Desk.serve`."""
        return self._desk.serve(context, unit)
