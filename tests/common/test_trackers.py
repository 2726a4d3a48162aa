"""Curves in other programs."""

import sys
import types

import pytest

from tvtfast.common.trackers import tracked


class Recorded:
    """What a run of Weights & Biases is asked for."""

    def __init__(self, **arguments):
        self.arguments, self.points, self.is_finished = arguments, [], False

    def log(self, values, step):
        self.points.append((step, values))

    def finish(self):
        self.is_finished = True


@pytest.fixture
def wandb(monkeypatch):
    runs = []

    def init(**arguments):
        runs.append(Recorded(**arguments))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    return runs


def test_nobody_is_asked_for():
    with tracked(None) as trackers:
        assert trackers == []


@pytest.mark.parametrize("given", [{"tensorboard": True}, {"wandb": "vits"}])
def test_curves_need_a_folder(given):
    with pytest.raises(ValueError, match="name one, or leave them out"), tracked(None, **given):
        pass


@pytest.mark.parametrize(
    ("given", "module", "extra"),
    [
        ({"tensorboard": True}, "torch.utils.tensorboard", "tensorboard"),
        ({"wandb": "vits"}, "wandb", "wandb"),
    ],
)
def test_what_is_missing_is_named(tmp_path, monkeypatch, given, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(ModuleNotFoundError, match=rf"pip install 'tvtfast\[{extra}\]'"),
        tracked(tmp_path, **given),
    ):
        pass


def test_a_run_of_one_folder_goes_on_under_its_name(tmp_path, wandb):
    for folder in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        with tracked(folder, wandb="vits", settings={"seed": 1}) as [tracker]:
            tracker.add({"loss": 0.5}, 3)
            assert not wandb[-1].is_finished
        assert wandb[-1].is_finished and wandb[-1].points == [(3, {"loss": 0.5})]
    first, second, other = (run.arguments for run in wandb)
    assert first["id"] == second["id"] != other["id"]
    assert first["resume"] == "allow" and first["config"] == {"seed": 1}
    assert first["project"] == "vits" and first["name"] == "a"


def test_a_run_that_fails_is_ended(tmp_path, wandb):
    with pytest.raises(KeyboardInterrupt), tracked(tmp_path, wandb="vits"):
        raise KeyboardInterrupt
    assert wandb[0].is_finished


def test_the_library_itself_takes_the_points(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with tracked(tmp_path, wandb="vits", settings={"seed": 1}) as [tracker]:
        tracker.add({"loss": 0.5}, 1)
        tracker.add({"loss": 0.25}, 2)
    [kept] = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert kept.stat().st_size > 0
