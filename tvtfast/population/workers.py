"""Threads that share the work of one batch on a CPU.

Each worker takes some images through a whole layer with one thread of its own: no operator waits
for the threads of another, and what a worker has just made is still in its cache.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait

import torch


class Workers:
    """As many threads as PyTorch uses on a CPU; none, and no waiting, on other devices.

    Args:
        device: Where tensors live.
    """

    def __init__(self, device: torch.device) -> None:
        self.count = torch.get_num_threads() if device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None

    def run(self, tasks: Iterable[Callable[[], None]]) -> None:
        """Run independent tasks without gradients; the first exception is raised when all ended."""
        calls = list(tasks)
        if self.count == 1 or len(calls) == 1:
            for call in calls:
                call()
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # new threads take it over; MKL reads it anywhere
        try:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self.count, initializer=torch.set_num_threads, initargs=(1,)
                )
            submitted = [
                self._pool.submit(contextvars.copy_context().run, _without_gradients, call)
                for call in calls
            ]
            wait(submitted)
            for future in submitted:
                future.result()
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _without_gradients(call: Callable[[], None]) -> None:
    with torch.no_grad():
        call()
