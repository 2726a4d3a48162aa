"""The small run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROGRAM = Path(__file__).with_name("run_small.py")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """``run_small.py`` as a module; its path is ``small.__file__``."""
    spec = importlib.util.spec_from_file_location("tvtfast_test_run_small", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The bits of a sum depend on the number of threads that share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
