"""The small training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def small(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``train_small.py`` as a module; its path is ``small.__file__``."""
    return load_program(Path(__file__).with_name("train_small.py"))


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """A context in which a training is interrupted after its next epoch."""
    from tvtfast.training.training_folder import TrainingFolder

    save = TrainingFolder.save

    def save_and_stop(self: TrainingFolder, state: Any, history: Any) -> None:
        save(self, state, history)
        raise KeyboardInterrupt

    @contextmanager
    def stopping() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(TrainingFolder, "save", save_and_stop)
            with pytest.raises(KeyboardInterrupt):
                yield

    return stopping
