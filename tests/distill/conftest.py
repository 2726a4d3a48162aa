"""The small training."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("train_small.py")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """``train_small.py`` as a module; its path is ``small.__file__``."""
    spec = importlib.util.spec_from_file_location("tvtfast_test_train_small", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """A context in which a training is interrupted after its next epoch."""
    from tvtfast.distill.run_folder import RunFolder

    save = RunFolder.save

    def save_and_stop(self: RunFolder, state: Any, history: Any) -> None:
        save(self, state, history)
        raise KeyboardInterrupt

    @contextmanager
    def stopping() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "save", save_and_stop)
            with pytest.raises(KeyboardInterrupt):
                yield

    return stopping
