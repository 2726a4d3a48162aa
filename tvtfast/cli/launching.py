"""``--workers`` of trainings: the processes that ``torchrun`` begins, begun by the command."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import uuid
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common import checks
from tvtfast.common.signals import run_program

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

_THREADS = "OMP_NUM_THREADS"
_LOGS = ("torch.distributed.elastic", "torch.multiprocessing.spawn")
_SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT"


def add_training_workers_option(group: object) -> None:
    """How many processes train one network: what `is_shared` reads."""
    group.add_argument(  # type: ignore[attr-defined]
        "--workers",
        type=int | None,
        default=None,
        help="train in so many processes of this machine, as torchrun --nproc-per-node does; each "
        "takes --batch-size images per step",
    )


def is_shared(cfg: Namespace, parser: Parser) -> bool:
    """Whether the training was done by the processes that ``--workers`` asks for; this process has
    nothing left to do then.

    Every one of them runs the same command, with one thread unless ``OMP_NUM_THREADS`` says
    otherwise, on a GPU of its own where there are any. When one fails the others are ended, and
    its error is raised here. Ctrl-C and SIGTERM end all.

    Args:
        cfg: The flags.
        parser: The parser that they were read by.

    Raises:
        ValueError: Fewer than one worker.
        UsageError: ``torchrun`` began another number of processes.
        RuntimeError: One process failed.
        SystemExit: After a signal.
    """
    if cfg.workers is None:
        return False
    workers = checks.whole("--workers", cfg.workers, least=1)
    begun = int(os.environ.get("WORLD_SIZE", "1"))
    if begun not in (1, workers):
        raise UsageError(
            f"torchrun began {begun} processes, and --workers asks for {workers}; leave one of "
            "them out"
        )
    if workers == begun:
        return False
    _launch(workers, [parser.prog.split()[-1], *parser.given])
    return True


def _launch(workers: int, arguments: Sequence[str]) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with _as_it_was(), tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault(_THREADS, "1")
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, _work)(list(arguments))
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None
        except ChildFailedError as error:
            raise RuntimeError(_first_error(error, workers)) from None


def _work(arguments: list[str]) -> None:
    """What every process runs."""
    from tvtfast.cli.main import main

    status = run_program(partial(main, arguments, tell=_record))
    if status:
        raise SystemExit(status)


def _record(message: str, error: BaseException) -> None:
    """Tell the process that began this one."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(RuntimeError(message))


def _first_error(error: ChildFailedError, workers: int) -> str:
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        how = f"was ended by {signal.Signals(-failure.exitcode).name}"
        return f"process {rank} of {workers} {how}; run the same command to continue"
    told = failure.message
    text = told["message"] if isinstance(told, dict) else told
    return str(text).removeprefix("RuntimeError: ")


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Environment and signal handlers, which the launcher changes, are put back. Its logs, which
    repeat what is told here, are not shown."""
    environment = dict(os.environ)
    names = [name for name in logging.root.manager.loggerDict if name.startswith(_LOGS)]
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in _SIGNALS.split(",") if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers} if main else {}
    for log in levels:
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)
