"""The small superformer."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROGRAM = Path(__file__).with_name("train_super.py")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """``train_super.py`` as a module; its path is ``small.__file__``."""
    spec = importlib.util.spec_from_file_location("tvtfast_test_train_super", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
