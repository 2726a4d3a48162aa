"""What travels between processes, as bytes."""

from __future__ import annotations

import pickle
import traceback
from functools import cache
from importlib import metadata
from typing import Any

import torch


class ExecutorError(RuntimeError):
    """Units cannot be run: no worker begins, or what they need cannot be sent."""


def pack(value: Any) -> bytes:
    """A value as bytes.

    Raises:
        ExecutorError: Some part of it cannot be pickled.
    """
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ExecutorError(
            f"what workers need cannot be sent to them ({error}); make proxies, feature_fn and "
            "models of functions and classes that a module has by name, or leave executor out"
        ) from error


def unpack(packed: bytes) -> Any:
    """The value; only for bytes that a process of the same work has packed."""
    return pickle.loads(packed)


def pack_error(error: Exception) -> bytes:
    """An exception as bytes; one that cannot be pickled as a `RuntimeError` that tells of it."""
    told = "".join(traceback.format_exception(error))
    try:
        packed = pickle.dumps((error, told))
        pickle.loads(packed)
    except Exception:  # exceptions of others may have any constructor
        return pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), told))
    return packed


def unpack_error(packed: bytes) -> Exception:
    """The exception, caused by an `ExecutorError` with the traceback of the worker."""
    error, told = pickle.loads(packed)
    error.__cause__ = ExecutorError(f"in a worker:\n{told}")
    assert isinstance(error, Exception)
    return error


@cache
def versions() -> dict[str, str]:
    """Of what scores depend on."""
    return {"tvtfast": metadata.version("tvtfast"), "torch": str(torch.__version__)}
