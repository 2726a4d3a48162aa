"""Trainings under ``--import`` are known by the modules of the user, and go on."""

from __future__ import annotations

import sys

import pytest

from tvtfast.common.imports import importing
from tvtfast.common.run_folder import OtherRunError
from tvtfast.training.training_folder import TrainingFolder

NAME = "tvtfast_test_own_module"


@pytest.fixture
def module(tmp_path):
    path = tmp_path / f"{NAME}.py"
    path.write_text("value = 1\n")
    yield path
    sys.modules.pop(NAME, None)


def folder(path):
    return TrainingFolder(path, "distill", {"epochs": 2, "sizes": (3, 4)}, weights="student.pt")


def test_a_training_goes_on_with_the_modules_it_began_with(module, tmp_path):
    with importing([str(module)]):
        begun = folder(tmp_path / "training")
        with begun.claimed():
            begun.save({"epoch": 1}, [{"epoch": 1, "loss": 2.0}])
        state = folder(tmp_path / "training").load()
        assert state is not None and state["epoch"] == 1
        assert state["settings"]["imports"].keys() == {NAME}
    with pytest.raises(OtherRunError, match="imports was"):
        folder(tmp_path / "training")
