"""Threads that share the work of waves on a CPU.

Each worker takes some images through a whole layer with one thread of its own: no operator waits
for the threads of another, and what a worker has just made is still in its cache. A share of the
images goes on to the next layer as soon as it is ready, whether the others are or not.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import chain

import torch

Share = tuple[int, int]
"""First and last image, that one excluded."""
Task = Callable[[], None]
Started = Sequence[Future[None]]


class Workers:
    """As many threads as PyTorch uses on a CPU; none, and no waiting, on other devices.

    Args:
        device: Where tensors live.
    """

    def __init__(self, device: torch.device) -> None:
        self.count = torch.get_num_threads() if device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None
        self._last: dict[Share, Future[None]] = {}
        self._threads = 0

    def start(self, tasks: Mapping[Share, Sequence[Task]]) -> Started:
        """Run tasks without gradients. Those of a share keep their order, behind whatever the same
        share was given before; with fewer shares than workers all are done on return.

        Returns:
            What to wait for.
        """
        if self.count == 1:
            _follow(None, list(chain(*tasks.values())))
            return ()
        if tasks.keys() != self._last.keys():
            self.finish()
        if not self._last:
            self._threads = torch.get_num_threads()
            torch.set_num_threads(1)  # new threads take it over; MKL reads it anywhere
        if len(tasks) < self.count:
            single = enumerate(chain(*tasks.values()))
            self._last = {(-1, number): self._submit(None, (task,)) for number, task in single}
            self.finish()
            return ()
        # A worker may wait for another here, but only for what was submitted earlier.
        self._last = {share: self._submit(self._last.get(share), tasks[share]) for share in tasks}
        return tuple(self._last.values())

    def finish(self) -> None:
        """Wait for all tasks; the first exception is raised when all have ended."""
        futures = tuple(self._last.values())
        self.settle()
        self.wait(futures)

    def wait(self, started: Started) -> None:
        """Wait for tasks, and raise the first exception."""
        wait(started)
        for future in started:
            future.result()

    def settle(self) -> None:
        """Wait for all tasks, whatever they end with."""
        if self._last:
            wait(self._last.values())
            self._last = {}
            torch.set_num_threads(self._threads)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _submit(self, before: Future[None] | None, tasks: Sequence[Task]) -> Future[None]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.count, initializer=torch.set_num_threads, initargs=(1,)
            )
        return self._pool.submit(contextvars.copy_context().run, _follow, before, tasks)


def _follow(before: Future[None] | None, tasks: Sequence[Task]) -> None:
    if before is not None:
        before.result()
    with torch.no_grad():
        for task in tasks:
            task()
