"""Units and proxies that worker processes import by name."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tvtfast.proxies import Proxy


@dataclass(frozen=True)
class Tell:
    """Returns its number and the process that ran it."""

    number: int
    seconds: float = 0.0

    def run(self, context):
        time.sleep(self.seconds)
        return self.number, context["factor"] * self.number, os.getpid()


@dataclass(frozen=True)
class Kill:
    """Ends its worker, ``times`` times."""

    number: int
    folder: Path
    times: int

    def run(self, context):
        if len(list(self.folder.iterdir())) < self.times:
            (self.folder / f"{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.number, context["factor"] * self.number, os.getpid()


@dataclass(frozen=True)
class Fail:
    """Raises what cannot be pickled."""

    def run(self, context):
        class OwnError(ValueError):
            pass

        raise OwnError("no such thing")


def _deadly(inputs):
    """Of one candidate of the population."""
    if inputs.params == int(os.environ["DEADLY_PARAMS"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return float(inputs.params % 1009)


def _once(inputs):
    """The first worker that comes here is killed in the middle."""
    flag = Path(os.environ["KILLED_ONCE"])
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return float(inputs.params % 1009)


def _slow(inputs):
    """The first worker that comes here is slow from then on."""
    flag = Path(os.environ["SLOW_WORKER"])
    if not flag.exists():
        flag.write_text(str(os.getpid()))
    if flag.read_text() == str(os.getpid()):
        time.sleep(0.2)
    return float(inputs.params % 1009)


def _full_disk(inputs):
    """The disk of the first worker that comes here is full."""
    flag = Path(os.environ["FULL_DISK"])
    if not flag.exists():
        flag.write_text(str(os.getpid()))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/features.npy")
    return float(inputs.params % 1009)


deadly = Proxy("deadly", _deadly)
once = Proxy("once", _once)
slow = Proxy("slow", _slow)
full_disk = Proxy("full_disk", _full_disk)
