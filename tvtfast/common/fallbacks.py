"""Fast paths that fall back say so: a log line, a warning, a note in the result, or an error.

The logger ``tvtfast`` is that of a library: silent until a program configures logging. The command
line shows its warnings.
"""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import asdict, dataclass

STRICT_VARIABLE = "TVTFAST_STRICT"
"""Environment variable; ``1`` makes every fallback an error."""

logger = logging.getLogger("tvtfast")
logger.addHandler(logging.NullHandler())


class FallbackWarning(UserWarning):
    """A fast path could not be taken; the result is right and took longer."""


class FallbackError(RuntimeError):
    """A fast path could not be taken, and ``TVTFAST_STRICT=1`` forbids the slow one."""


@dataclass(frozen=True)
class Fallback:
    """One fast path that was not taken.

    Args:
        what: The work, such as ``scoring 1,000 candidates together``.
        why: The error that stopped it.
        cost: What is done instead, and what that costs.
    """

    what: str
    why: str
    cost: str

    def __str__(self) -> str:
        return f"{self.what} fell back ({self.why}): {self.cost}"

    def to_dict(self) -> dict[str, str]:
        """Its fields, for run files."""
        return asdict(self)


def fall_back(what: str, cost: str, error: BaseException) -> Fallback:
    """Log and warn that a fast path is left, with the traceback at level ``DEBUG``.

    Args:
        what: See `Fallback`.
        cost: See `Fallback`.
        error: What stopped the fast path.

    Returns:
        The note for the result.

    Raises:
        FallbackError: ``TVTFAST_STRICT`` is ``1``.
    """
    why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
    fallback = Fallback(what, why, cost)
    if os.environ.get(STRICT_VARIABLE) == "1":
        raise FallbackError(f"{fallback}. {STRICT_VARIABLE}=1 makes this an error.") from error
    logger.debug("traceback of the fallback", exc_info=error)
    return repeat(fallback, stacklevel=4)


def repeat(fallback: Fallback, *, stacklevel: int = 3) -> Fallback:
    """Log and warn of a fast path that was left elsewhere, such as in another process.

    Args:
        fallback: The note, which is returned.
        stacklevel: Whose line the warning names, see `warnings.warn`.
    """
    logger.warning("%s", fallback)
    warnings.warn(str(fallback), FallbackWarning, stacklevel=stacklevel)
    return fallback
