"""Training of superformers: what is written, and that it continues to the bit."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from tvtfast.common.run_folder import OtherRunError
from tvtfast.data import hold_out
from tvtfast.distill import Distillation, Recipe, distill
from tvtfast.models import CheckpointError, CifarResNet, load_student
from tvtfast.supernet import (
    SUPERFORMER_RECIPE,
    InheritedAccuracy,
    Subnets,
    extract,
    load_superformer,
    train_superformer,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return small.train(tmp_path_factory.mktemp("finished") / "super")


def test_the_folder(small, finished, assert_same, last_weights):
    names = {"last.pt", "log.csv", "run.json", "superformer.json", "superformer.safetensors"}
    assert {path.name for path in finished.folder.iterdir()} == names
    loaded = load_superformer(finished.folder)
    assert loaded.fingerprint == finished.superformer.fingerprint
    assert loaded.card.sharing == "cyclic" and loaded.card.recipe["epoch"] == 2
    assert loaded.card.held_out_accuracy == finished.history[-1]["accuracy"]
    assert loaded.card.search_split == 0.2 and loaded.card.recipe["images"] == [80, 20, 30]
    assert loaded.card.steps_per_choice == counted(small, 6)
    reference = InheritedAccuracy(loaded, small.part("test", 30))(loaded.card.reference)
    assert reference == pytest.approx(loaded.card.accuracy)
    held_out = hold_out(small.part("train", 100))[1]
    reference = InheritedAccuracy(loaded, held_out)(loaded.card.reference)
    assert reference == pytest.approx(loaded.card.held_out_accuracy)
    last = {n.removeprefix("model."): w for n, w in last_weights(finished.folder).items()}
    assert_same(last, loaded.model.state_dict())


def counted(small, steps):
    """Steps of every value, from the draws themselves."""
    subnets, found = Subnets(small.DEIT, 0), {}
    for name, values in small.DEIT.decision_values().items():
        found[name] = dict.fromkeys(map(str, values), 0)
    for step in range(steps):
        for name, value in small.DEIT.decisions(subnets(step)).items():
            found[name][str(value)] += 1
    return found


@pytest.mark.slow
def test_killed_and_continued_is_the_same_to_the_bit(
    small, tmp_path, start_program, kill_once, assert_same, last_weights
):
    changes = {"epochs": 4, "accumulate": 2}
    whole = small.train(tmp_path / "whole", **changes)
    process = start_program(small, tmp_path / "killed", json.dumps(changes))
    kill_once(process, (tmp_path / "killed" / "last.pt").exists)
    continued = small.train(tmp_path / "killed", **changes)
    assert_same(last_weights(tmp_path / "killed"), last_weights(whole.folder))
    assert continued.superformer.fingerprint == whole.superformer.fingerprint
    assert continued.superformer.card == whole.superformer.card


@pytest.mark.slow
def test_two_processes_take_the_same_subnets(small, tmp_path, start_program, last_weights):
    """They are one with twice the batch: losses differ by rounding alone."""
    common = {"optimizer": "sgd", "lr": 0.02, "cutmix": 0.0, "accumulate": 2}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    changes = json.dumps(common | {"batch_size": 16})
    process = start_program(small, tmp_path / "two", changes, launcher=launcher)
    one = small.train(tmp_path / "one", **common | {"batch_size": 32})
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    state = torch.load(tmp_path / "two" / "last.pt", weights_only=True)
    for row, expected in zip(state["history"], one.history, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert row["accuracy"] == expected["accuracy"]
    for name, value in last_weights(tmp_path / "one").items():
        torch.testing.assert_close(state["objective"][name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    (
        {"sharing": "bilateral", "qkv_mode": 0, "fused_qk": True},
        {"space": "test-super-twins", "sharing": "ordinal", "dtype": "bfloat16"},
        {"flops": (1e5, 2.6e5), "window_of": "mean", "ema": 0.9, "clip_grad": 1.0},
        {"flops": (1e5, 2.6e5), "augmentation": "weak"},
    ),
)
def test_every_way_of_sharing_trains(small, tmp_path, changes):
    finished = small.train(tmp_path / "super", epochs=1, **changes)
    assert load_superformer(finished.folder).fingerprint == finished.superformer.fingerprint
    probability = finished.superformer.card.identity_probability
    assert (probability is None) == ("window_of" not in changes)
    assert finished.superformer.model.fused_qk == changes.get("fused_qk", False)


def test_the_default_warmup_fits_every_number_of_epochs():
    assert [replace(SUPERFORMER_RECIPE, epochs=n).warmup for n in (1, 5, 60, 300)] == [0, 0, 1, 5]


def test_parts_of_a_step_sum_up_to_it(small, tmp_path, last_weights):
    common = {"optimizer": "sgd", "lr": 0.02, "cutmix": 0.0, "epochs": 1}
    whole = small.train(tmp_path / "whole", **common)
    parts = small.train(tmp_path / "parts", **common, accumulate=3)
    assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-5)
    for name, value in last_weights(whole.folder).items():
        torch.testing.assert_close(last_weights(parts.folder)[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "how",
    (
        None,
        Distillation(guidance="similarity", logits="soft"),
        Distillation(guidance=None, logits="hard"),
    ),
)
def test_a_teacher_takes_part(small, tmp_path, how):
    teacher = CifarResNet(8, 10).eval()
    finished = small.train(tmp_path / "super", epochs=1, teacher=teacher, how=how)
    wanted = {"guidance"} if how is None or how.guidance else set()
    wanted |= {"logits"} if how is not None and how.logits else set()
    assert wanted <= set(finished.history[0])


def test_what_does_not_go_together(small, tmp_path, finished):
    teacher = CifarResNet(8, 10).eval()
    with pytest.raises(ValueError, match="guidance of a superformer is 'attention'"):
        small.train(tmp_path, teacher=teacher, how=Distillation())
    with pytest.raises(ValueError, match="runs a subnet twice"):
        how = Distillation(guidance="attention")
        small.train(tmp_path, teacher=teacher, how=how, sharing="bilateral")
    with pytest.raises(ValueError, match="needs a teacher; give teacher="):
        small.train(tmp_path, how=Distillation())
    with pytest.raises(ValueError, match="cutmix is -1"):
        small.train(tmp_path, cutmix=-1.0)
    with pytest.raises(ValueError, match="drop_path=0.1: a superformer is trained without stoch"):
        small.train(tmp_path, drop_path=0.1)
    with pytest.raises(ValueError, match="layer_decay=0.5: every step of a superformer runs an"):
        small.train(tmp_path, layer_decay=0.5)
    with pytest.raises(OtherRunError, match="sharing was 'cyclic', now 'ordinal'"):
        small.train(finished.folder, sharing="ordinal")
    with pytest.raises(OtherRunError, match="pixels was"):
        small.train(finished.folder, images=99)
    with pytest.raises(FileNotFoundError, match="train one with 'tvtfast supernet'"):
        load_superformer(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no superformer"):
        train_superformer("pit", "digits", output_dir=tmp_path)


def test_a_damaged_folder(finished, tmp_path):
    (tmp_path / "superformer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="as the card of a superformer"):
        load_superformer(tmp_path)
    (tmp_path / "superformer.json").write_text((finished.folder / "superformer.json").read_text())
    whole = (finished.folder / "superformer.safetensors").read_bytes()
    (tmp_path / "superformer.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"superformer\.safetensors"):
        load_superformer(tmp_path)


def test_an_extracted_student_loads_alone_and_trains_on(small, finished, images, tmp_path):
    arch = small.DEIT.sample(1, 3)[0]
    held_out = small.part("test", 30)
    written = extract(finished.folder, arch, tmp_path / "student", evaluation=held_out)
    alone = load_student(tmp_path / "student")
    assert alone.card == written.card
    model = finished.superformer.model
    with torch.no_grad():
        inside = model(images, arch)
        torch.testing.assert_close(alone.module(images), inside, rtol=1e-5, atol=1e-5)
    assert alone.card.accuracy == InheritedAccuracy(finished.superformer, held_out)(arch)
    further = distill(
        tmp_path / "student",
        small.part("train", 100),
        test=held_out,
        output_dir=tmp_path / "further",
        recipe=Recipe(epochs=1, batch_size=50, lr=1e-12, min_lr=0.0, augmentation="none"),
        device="cpu",
    )
    before = alone.module.state_dict()
    for name, value in further.student.module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-6, atol=1e-8)
    assert further.student.card.arch == alone.card.arch
    with pytest.raises(FileNotFoundError, match="is not a student folder: it has no student.json"):
        distill(tmp_path, "digits", output_dir=tmp_path / "x")
