"""Training of students: what is learnt, what is written, and that it can be trusted."""

from __future__ import annotations

import csv
import json
import resource
import sys

import numpy as np
import pytest
import torch

import tvtfast
from tvtfast.common import board
from tvtfast.common.run_folder import OtherRunError
from tvtfast.distill import TrainingError, distill
from tvtfast.distill.subject import _remark
from tvtfast.models import CheckpointError, load_student

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "student"
    return small.train(folder)


def test_a_student_learns_from_its_teacher(finished):
    first, *_, last = finished.history
    assert last["guidance"] < first["guidance"] and last["loss"] < first["loss"]
    assert set(first) == {
        "epoch",
        "lr",
        "loss",
        "classification",
        "guidance",
        "accuracy",
        "top5",
        "seconds",
        "images_per_second",
        "peak_host_mib",
    }
    assert first["accuracy"] <= first["top5"] <= 100
    assert first["images_per_second"] > 0 and 50 < first["peak_host_mib"] < 1e5
    assert first["lr"] < 5e-4 and last["lr"] < max(row["lr"] for row in finished.history)
    assert finished.held_out_accuracy == max(row["accuracy"] for row in finished.history)


def test_the_folder_holds_the_best_weights_the_state_and_the_log(finished):
    folder = finished.folder
    names = {"config.json", "last.pt", "log.csv", "model.safetensors", "run.json", "student.json"}
    assert {path.name for path in folder.iterdir()} == names
    with open(folder / "log.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in finished.history]
    card = json.loads((folder / "student.json").read_text())
    assert card["format"] == "tvtfast student" and card["version"] == 2
    assert card["space"] == "test-small" and card["arch"]["hidden_dim"] == 16
    assert card["classes"] == [str(digit) for digit in range(10)]
    assert card["model_options"]["img_size"] == [16, 16]
    assert card["recipe"]["distillation"]["guidance"] == "linear"
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    loaded = load_student(folder)
    assert loaded.card == finished.student.card and not loaded.module.training


def test_the_same_command_changes_nothing_when_it_is_done(finished, small):
    before = {path: path.stat().st_mtime_ns for path in finished.folder.iterdir()}
    again = small.train(finished.folder)
    assert again.history == finished.history
    assert {path: path.stat().st_mtime_ns for path in finished.folder.iterdir()} == before


@pytest.fixture(scope="module")
def long(small, tmp_path_factory):
    return small.train(tmp_path_factory.mktemp("long") / "student", epochs=8)


@pytest.mark.parametrize(
    ("workers", "delay"), ((0, 0.0), pytest.param(2, 0.2, marks=pytest.mark.slow))
)
def test_killed_and_continued_is_the_same_to_the_bit(
    small, tmp_path, long, workers, delay, start_program, kill_once, assert_same, last_weights
):
    folder = tmp_path / "student"
    process = start_program(small, folder, json.dumps({"workers": workers, "epochs": 8}))
    kill_once(process, (folder / "last.pt").exists, delay=delay)
    continued = small.train(folder, epochs=8)
    assert_same(last_weights(folder), last_weights(long.folder))
    measured = ("seconds", "images_per_second", "peak_host_mib")
    without_time = [
        [{n: v for n, v in row.items() if n not in measured} for row in run.history]
        for run in (continued, long)
    ]
    assert without_time[0] == without_time[1]


@pytest.mark.parametrize(
    "changes",
    (
        {"paper": True, "guidance": "attention", "guidance_schedule": "cosine"},
        {"offline": True, "augmentation": "strong"},
        {"ema": 0.9, "clip_grad": 1.0, "dtype": "bfloat16", "plain": True},
        {"logits": "soft", "temperature": 2.0, "guidance": "similarity"},
        {"logits": "hard", "guidance": None, "dtype": "float16", "augmentation": "strong"},
    ),
)
def test_every_option_stops_and_continues_to_the_bit(
    small, tmp_path, interrupted, changes, assert_same, last_weights
):
    whole = small.train(tmp_path / "whole", epochs=2, **changes)
    with interrupted():
        small.train(tmp_path / "stopped", epochs=2, **changes)
    torch.rand(3)
    small.train(tmp_path / "stopped", epochs=2, **changes)
    assert_same(last_weights(tmp_path / "stopped"), last_weights(tmp_path / "whole"))
    assert ("logits" in whole.history[0]) == ("logits" in changes)


def test_the_paper_switch_lets_the_teacher_drift(small, tmp_path, assert_same):
    teacher = small.teacher()
    before = {name: value.clone() for name, value in teacher.module.state_dict().items()}
    small.train(tmp_path / "drifts", epochs=1, teacher=teacher, paper=True)
    assert_same(before, teacher.module.state_dict())
    drifted = torch.load(tmp_path / "drifts" / "last.pt", weights_only=True)["drifted"]
    assert not torch.equal(drifted["bn1.running_mean"], before["bn1.running_mean"])
    assert torch.equal(drifted["conv1.weight"], before["conv1.weight"])
    small.train(tmp_path / "frozen", epochs=1, teacher=teacher)
    assert torch.load(tmp_path / "frozen" / "last.pt", weights_only=True)["drifted"] is None


def test_two_processes_are_one_with_twice_the_batch(small, tmp_path, start_program, last_weights):
    """Losses differ by rounding alone: each is a mean over 32 images, summed in another order."""
    common = {"optimizer": "sgd", "lr": 0.02, "epochs": 2, "drop_path_rate": 0.5}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    changes = json.dumps(common | {"batch_size": 16})
    process = start_program(small, tmp_path / "two", changes, launcher=launcher)
    one = small.train(tmp_path / "one", **common | {"batch_size": 32})
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    state = torch.load(tmp_path / "two" / "last.pt", weights_only=True)
    for row, expected in zip(state["history"], one.history, strict=True):
        for name in ("loss", "classification", "guidance"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5), name
        assert row["accuracy"] == expected["accuracy"]
    card = load_student(tmp_path / "two").card
    assert (card.accuracy, card.held_out_accuracy) == (one.accuracy, one.held_out_accuracy)
    for name, value in last_weights(tmp_path / "one").items():
        torch.testing.assert_close(state["objective"][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one_and_go_on_with_it(
    small, tmp_path, start_program, interrupted
):
    """Step by step: an epoch is one step."""
    common = {"optimizer": "sgd", "lr": 0.02, "epochs": 10, "drop_path_rate": 0.5}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    one = small.train(tmp_path / "one", **common, batch_size=200)
    with interrupted():
        small.train(tmp_path / "continued", **common, batch_size=200)
    for folder in ("two", "continued"):
        changes = json.dumps(common | {"batch_size": 100})
        process = start_program(small, tmp_path / folder, changes, launcher=launcher)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
        state = torch.load(tmp_path / folder / "last.pt", weights_only=True)
        assert len(state["history"]) == 10
        for row, expected in zip(state["history"], one.history, strict=True):
            assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_training_has_a_page_with_its_curves(small, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "PERIOD", 0.01)
    trained = small.train(tmp_path / "t", plain=True)
    text = (tmp_path / "t" / "live" / "data.js").read_text("utf-8")
    page = json.loads(text.removeprefix("tvtfastLive(").removesuffix(");\n"))
    assert page["status"] == "finished" and page["works"] == []
    assert page["curves"]["loss"]["y"] == [row["loss"] for row in trained.history]
    assert page["curves"]["accuracy"]["y"] == [row["accuracy"] for row in trained.history]


def test_steps_of_other_images_are_another_training(small, tmp_path, interrupted):
    with interrupted():
        small.train(tmp_path / "t", plain=True, batch_size=32)
    with pytest.raises(OtherRunError, match="step_images was 32, now 16"):
        small.train(tmp_path / "t", plain=True, batch_size=16)


def test_parts_of_a_step_sum_up_to_it_with_stochastic_depth(small, tmp_path):
    common = {"optimizer": "sgd", "lr": 0.02, "epochs": 1, "drop_path_rate": 0.5, "plain": True}
    whole = small.train(tmp_path / "whole", **common)
    parts = small.train(tmp_path / "parts", **common, accumulate=3)
    assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-5)


def test_curves_go_to_tensorboard_where_it_is_installed(small, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "torch.utils.tensorboard", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'tvtfast\[tensorboard\]'"):
            small.train(tmp_path / "without", epochs=1, tensorboard=True)
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained = small.train(tmp_path / "with", tensorboard=True)
    events = EventAccumulator(str(tmp_path / "with"))
    events.Reload()
    for name in ("loss", "guidance", "accuracy", "lr"):
        curve = [(point.step, point.value) for point in events.Scalars(name)]
        expected = [(row["epoch"], row[name]) for row in trained.history]
        assert curve == [(step, pytest.approx(value)) for step, value in expected]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(small, tmp_path, monkeypatch):
    small_loss = tvtfast.training.losses.DistillationLoss.forward

    def broken(self, *arguments, progress=0.0, **options):
        terms = small_loss(self, *arguments, progress=progress, **options)
        return {n: t * float("nan") for n, t in terms.items()} if progress > 0.4 else terms

    monkeypatch.setattr(tvtfast.training.losses.DistillationLoss, "forward", broken)
    message = r"no longer finite at step 2 of epoch 2 \(loss nan.* state after epoch 1 is kept"
    with pytest.raises(TrainingError, match=message):
        small.train(tmp_path / "student")
    assert torch.load(tmp_path / "student" / "last.pt", weights_only=True)["epoch"] == 1
    assert load_student(tmp_path / "student").card.recipe["epoch"] == 1


def test_a_full_disk_stops_and_keeps_the_last_state(
    small, tmp_path, monkeypatch, finished, assert_same, last_weights
):
    """A limit on the size of files fails in the midst of a write, as a full disk does."""
    from tvtfast.training.training_folder import TrainingFolder

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    save = TrainingFolder.save

    def save_then_fill(self, state, history):
        save(self, state, history)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

    monkeypatch.setattr(TrainingFolder, "save", save_then_fill)
    folder = tmp_path / "student"
    try:
        with pytest.raises(
            TrainingError,
            match=r"last\.pt cannot be written, the disk is full.*after epoch 1 is kept\. Free",
        ):
            small.train(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    monkeypatch.undo()
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert load_student(folder).card.recipe["epoch"] == 1
    small.train(folder)
    assert_same(last_weights(folder), last_weights(finished.folder))


def test_a_damaged_state_is_refused(small, tmp_path, finished):
    folder = tmp_path / "student"
    folder.mkdir()
    whole = (finished.folder / "last.pt").read_bytes()
    (folder / "last.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read .* Remove it"):
        small.train(folder)


def test_another_training_is_not_continued(small, finished):
    with pytest.raises(OtherRunError, match="another run .lr was 0.0005, now 0.001"):
        small.train(finished.folder, lr=0.001)
    with pytest.raises(OtherRunError, match="teacher was"):
        small.train(finished.folder, plain=True)


def test_missing_and_unfit_teachers(small, tmp_path):
    with pytest.raises(ValueError, match="guidance 'linear' needs a teacher; give a teacher"):
        small.train(tmp_path, plain=True, guidance="linear")
    with pytest.raises(FileNotFoundError, match="no teacher at nowhere/teacher"):
        small.train(tmp_path, teacher="nowhere/teacher")
    with pytest.raises(ValueError, match="knows 7 classes and the data set has 10"):
        small.train(tmp_path, teacher=small.teacher(7), logits="soft")
    with pytest.raises(ValueError, match=r"pair \(9, 0\) does not exist"):
        small.train(tmp_path, pairs=((9, 0),))


def test_a_timm_module_is_trained_and_loaded_again(small, tmp_path, assert_same):
    import timm

    def build():
        torch.manual_seed(0)
        return timm.create_model(
            "vit_tiny_patch16_224", img_size=16, patch_size=8, depth=2, num_classes=10
        )

    trained = small.train(tmp_path / "vit", student=build(), epochs=1, img_size=16)
    assert "guidance" in trained.history[0]
    with pytest.raises(ValueError, match="pass module="):
        load_student(tmp_path / "vit")
    again = load_student(tmp_path / "vit", module=build())
    assert_same(again.module.state_dict(), trained.student.module.state_dict())


def test_best_json_brings_space_and_options(small, tmp_path):
    best = {
        "space": "test-small",
        "arch": small.SPACE.to_dict(small.ARCH),
        "model_options": {"img_size": [24, 24], "patch_size": 8, "num_classes": 3},
    }
    (tmp_path / "best.json").write_text(json.dumps(best))
    trained = distill(
        tmp_path / "best.json",
        small.part("train", 32),
        test=small.part("test", 8),
        output_dir=tmp_path / "student",
        recipe=tvtfast.distill.Recipe(epochs=1, augmentation="none"),
        device="cpu",
    )
    options = trained.student.card.model_options
    assert options["img_size"] == (24, 24) or options["img_size"] == [24, 24]
    assert options["num_classes"] == 10
    with pytest.raises(
        FileNotFoundError, match="neither an existing file nor an architecture as JSON"
    ):
        distill(tmp_path / "none.json", "digits", output_dir=tmp_path / "x")
    with pytest.raises(ValueError, match="name the space"):
        distill(best["arch"], "digits", output_dir=tmp_path / "x")


def test_an_architecture_that_no_search_proposes_is_trained_and_loaded(small, tmp_path, caplog):
    arch = {"hidden_dim": 24, "depth": 2, "mlp_ratio": [3.0, 1.5], "num_heads": [3, 4]}
    _remark.cache_clear()
    for epochs in (1, 2):  # of one training that goes on, as in a tournament
        trained = small.train(
            tmp_path / "x", plain=True, student=arch, images=32, epochs=epochs, patch_size=8
        )
    notes = [record.getMessage() for record in caplog.records if "propose" in record.getMessage()]
    assert notes == [
        "the architecture is none that a search of 'test-small' would propose (hidden_dim is 24; "
        "searched: 16); taken all the same"
    ]
    assert load_student(trained.folder).module.arch == small.SPACE.decode(arch)


def test_a_published_model_is_trained_by_its_name(small, tmp_path):
    trained = distill(
        "deit-tiny",
        small.part("train", 32),
        test=small.part("test", 8),
        output_dir=tmp_path / "student",
        recipe=tvtfast.distill.Recipe(epochs=1, augmentation="none"),
        device="cpu",
        img_size=16,
        patch_size=8,
    )
    card = trained.student.card
    assert card.space == "autoformer-tiny" and card.model_options["pool"] == "token"
    assert card.model_options["num_classes"] == 10
    assert load_student(trained.folder).module.global_pool == "token"


def test_damaged_student_folders(finished, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a student folder"):
        load_student(tmp_path)
    (tmp_path / "student.json").write_text("{}")
    with pytest.raises(CheckpointError, match="as the card of a student"):
        load_student(tmp_path)
    (tmp_path / "student.json").write_text((finished.folder / "student.json").read_text())
    whole = (finished.folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_student(tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", ("float32", "bfloat16", "float16"))
@pytest.mark.parametrize("guidance", ("linear", "attention", "similarity"))
def test_a_gpu_trains_like_the_cpu(small, tmp_path, dtype, guidance):
    """The losses of the first epoch: the same images, dropout aside the same arithmetic."""
    common = {"guidance": guidance, "drop_path_rate": 0.0, "epochs": 1}
    expected = small.train(tmp_path / "cpu", **common).history[0]
    trained = small.train(tmp_path / "gpu", device="cuda", dtype=dtype, **common)
    relative = 1e-3 if dtype == "float32" else 0.05
    for name in ("loss", "classification", "guidance"):
        assert trained.history[0][name] == pytest.approx(expected[name], rel=relative), name
    assert next(trained.student.module.parameters()).device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_continues_what_it_began(small, tmp_path, interrupted):
    """Counters of the optimiser stay on the CPU, where reading them does not wait."""
    options = {"device": "cuda", "dtype": "float16", "ema": 0.9, "epochs": 2}
    whole = small.train(tmp_path / "whole", **options)
    with interrupted():
        small.train(tmp_path / "stopped", **options)
    continued = small.train(tmp_path / "stopped", **options)
    assert continued.history[1]["loss"] == pytest.approx(whole.history[1]["loss"], rel=1e-2)
    state = torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)["optimizer"]["state"]
    assert {str(entry["step"].device) for entry in state.values()} == {"cpu"}


@pytest.mark.parametrize(
    "changes",
    (
        {"mixup": 0.8, "cutmix": 1.0, "accumulate": 2, "optimizer": "lamb", "layer_decay": 0.75},
        {
            "augmentation": "strong",
            "rand_augment": 5,
            "random_erasing": 0.5,
            "repeats": 2,
            "drop_path": 0.3,
            "channels_last": True,
            "plain": True,
        },
    ),
)
def test_recipes_of_deit_stop_and_continue_to_the_bit(
    small, tmp_path, interrupted, changes, assert_same, last_weights
):
    whole = small.train(tmp_path / "whole", epochs=2, **changes)
    with interrupted():
        small.train(tmp_path / "stopped", epochs=2, **changes)
    np.random.seed(1)
    small.train(tmp_path / "stopped", epochs=2, workers=1, **changes)
    assert_same(last_weights(tmp_path / "stopped"), last_weights(tmp_path / "whole"))
    assert whole.student.card.model_options["drop_path_rate"] == changes.get("drop_path", 0.1)


def test_a_step_in_parts_mixes_the_whole_batch(small, tmp_path):
    common = {"optimizer": "sgd", "lr": 0.02, "epochs": 1, "mixup": 0.8, "cutmix": 1.0}
    whole = small.train(tmp_path / "whole", plain=True, **common)
    parts = small.train(tmp_path / "parts", plain=True, **common, accumulate=3)
    assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-5)


def test_what_a_recipe_and_a_student_cannot_share(small, tmp_path):
    with pytest.raises(ValueError, match="mixup and CutMix mix images; leave one of them out"):
        small.train(tmp_path, offline=True, mixup=0.8)
    with pytest.raises(ValueError, match="compile=True: a compiled step beside a teacher"):
        small.train(tmp_path, compile=True)
    with pytest.raises(ValueError, match="drop_path_rate cannot be set for a module"):
        small.train(tmp_path, student=torch.nn.Linear(1, 1), plain=True, drop_path=0.1)


@pytest.mark.slow
def test_a_compiled_training_has_the_losses_of_the_plain_one(small, tmp_path):
    common = {"epochs": 2, "optimizer": "sgd", "lr": 0.02, "plain": True, "drop_path_rate": 0.5}
    plain = small.train(tmp_path / "plain", **common)
    compiled = small.train(tmp_path / "compiled", **common, compile=True)
    for row, expected in zip(compiled.history, plain.history, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_the_state_goes_when_a_training_ends(small, tmp_path):
    ended = small.train(tmp_path / "x", plain=True, epochs=2, keep_state=False)
    assert not (tmp_path / "x" / "last.pt").exists()
    before = {path: path.stat().st_mtime_ns for path in ended.folder.iterdir()}
    again = small.train(tmp_path / "x", plain=True, epochs=2, keep_state=False)
    assert again.history == ended.history
    assert {path: path.stat().st_mtime_ns for path in ended.folder.iterdir()} == before
    with pytest.raises(OtherRunError, match=r"of 2 epochs that has ended; its state \(last.pt"):
        small.train(tmp_path / "x", plain=True, epochs=3)
    with pytest.raises(OtherRunError, match="lr was"):
        small.train(tmp_path / "x", plain=True, epochs=3, lr=1e-3)


def test_test_images_wait_for_the_last_of_several_trainings(small, tmp_path, caplog, assert_same):
    """What goes on by intention is no surprise, and ends as what goes on by chance."""
    first = small.train(tmp_path / "x", plain=True, epochs=2, read_test=False)
    assert first.student.card.accuracy is None and first.held_out_accuracy is not None
    with pytest.raises(ValueError, match="test images were not read for .*read_test=True"):
        _ = first.accuracy
    small.train(tmp_path / "x", plain=True, epochs=4, read_test=False)
    assert "goes on to" not in caplog.text
    read = small.train(tmp_path / "x", plain=True, epochs=4)
    small.train(tmp_path / "y", plain=True, epochs=2)
    usual = small.train(tmp_path / "y", plain=True, epochs=4)
    assert "the training of 2 epochs in" in caplog.text
    assert read.accuracy == usual.accuracy and len(read.history) == 4
    assert_same(read.student.module.state_dict(), usual.student.module.state_dict())
    assert read.student.card.recipe["continued"] == [{"after": 2, "epochs": 2}]
    with pytest.raises(ValueError, match="without its state none can; give keep_state=True"):
        small.train(tmp_path / "z", plain=True, read_test=False, keep_state=False)


def test_a_training_goes_on_to_more_epochs(small, tmp_path, caplog):
    short = small.train(tmp_path / "x", plain=True, epochs=2)
    longer = small.train(tmp_path / "x", plain=True, epochs=4)
    assert "the training of 2 epochs" in caplog.text and "from epoch 3 on" in caplog.text
    assert longer.history[:2] == short.history and len(longer.history) == 4
    assert longer.history[2]["lr"] > short.history[1]["lr"]
    assert longer.student.card.recipe["continued"] == [{"after": 2, "epochs": 2}]
    assert longer.student.card.recipe["epochs"] == 4
    with pytest.raises(OtherRunError, match="epochs was 4, now 3"):
        small.train(tmp_path / "x", plain=True, epochs=3)
