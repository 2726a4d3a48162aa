"""Training on coarse tokens first."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import tvtfast
from tvtfast.cli import main
from tvtfast.data import eval_transform, hold_out
from tvtfast.distill import Distillation, ProgressiveTokens, Recipe, distill, train_teacher
from tvtfast.models import load_student
from tvtfast.training.guide import GUIDANCE, Guide
from tvtfast.training.loading import TrainingBatch
from tvtfast.training.objective import guided

pytestmark = pytest.mark.usefixtures("one_thread")

ARCH = "4,2,2|2,1,2|2,1,2|2,1,2|16"
TEST_IMAGES = 60
PHASES = ((0.0, 4), (0.3, 2), (0.6, 1))


def train(small, folder, tokens=None, *, guided=True, **changes):
    recipe = {"epochs": 3, "batch_size": 32, "augmentation": "light", "tokens": tokens}
    return distill(
        ARCH,
        small.part("train", 64),
        small.teacher() if guided else None,
        test=small.part("test", TEST_IMAGES),
        space="asvit",
        output_dir=folder,
        recipe=Recipe(**recipe | changes),
        device="cpu",
        img_size=32,
        keep_state=True,
    )


@given(st.lists(st.floats(0.0, 0.99), min_size=0, max_size=3, unique=True), st.integers(1, 400))
def test_every_epoch_is_in_one_phase(starts, epochs):
    starts = [0.0, *sorted(start for start in starts if start > 0)]
    tokens = ProgressiveTokens(tuple(zip(starts, range(len(starts), 0, -1), strict=True)))
    try:
        lengths = tokens.lengths(epochs)
    except ValueError as error:
        assert "train longer or give fewer phases" in str(error)
        return
    expected = [
        dilation for (_, dilation), n in zip(tokens.phases, lengths, strict=True) for _ in range(n)
    ]
    assert [tokens.dilation(epoch, epochs) for epoch in range(epochs)] == expected


def test_default_phases_are_halves():
    tokens = ProgressiveTokens()
    assert tokens.lengths(300) == (150, 150)
    assert tokens.lengths(3) == (2, 1)
    assert [tokens.dilation(epoch, 4) for epoch in range(4)] == [2, 2, 1, 1]


def rates(recipe, steps=10):
    """The learning rate of every step of a training with so many steps per epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    schedule = recipe.build_schedule(optimizer, steps)
    found = []
    for step in range(recipe.epochs * steps):
        schedule.step_update(step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("warmup", [0, 2])
@pytest.mark.parametrize("phases", [((0.0, 2), (0.5, 1)), PHASES])
def test_the_learning_rate_is_held_until_all_tokens_are_seen(phases, warmup):
    recipe = Recipe(epochs=20, lr=1.0, min_lr=0.0, warmup_epochs=warmup)
    tokens = ProgressiveTokens(phases)
    last, warm = tokens.lengths(20)[-1], 10 * warmup
    coarse = 10 * (20 - last)
    found = rates(replace(recipe, tokens=tokens))
    plain = rates(replace(recipe, epochs=last))
    assert found[:warm] == plain[:warm]
    assert set(found[warm : coarse + warm]) == {plain[warm]}
    assert found[coarse + warm :] == plain[warm:]
    assert plain[warm] > 0.8 > 0.01 > found[-1]


def test_warm_up_leaves_epochs_for_the_rate_to_fall():
    tokens = ProgressiveTokens(((0.0, 2), (0.8, 1)))
    assert Recipe(epochs=30, tokens=ProgressiveTokens(((0.0, 2), (0.95, 1)))).warmup == 1
    Recipe(epochs=10, warmup_epochs=1, tokens=tokens)
    with pytest.raises(ValueError, match="warmup_epochs=2 leaves the 2 epochs on all tokens none"):
        Recipe(epochs=10, warmup_epochs=2, tokens=tokens)
    Recipe(epochs=10, warmup_epochs=10, tokens=ProgressiveTokens(((0.0, 1),)))


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((), "the first 0"),
        (((0.1, 1),), "the first 0"),
        (((0.0, 2), (0.5, 2), (0.5, 1)), "ascending shares"),
        (((0.0, 2), (1.0, 1)), r"in \[0, 1\)"),
        (((0.0, 4), (0.5, 2)), "1 in the last phase"),
        (((0.0, 0), (0.5, 1)), "give 1 or more"),
    ],
)
def test_impossible_phases(phases, message):
    with pytest.raises(ValueError, match=message):
        ProgressiveTokens(phases)


def test_too_few_epochs():
    with pytest.raises(ValueError, match="epochs=1 leaves phases of"):
        Recipe(epochs=1, tokens=ProgressiveTokens())


@pytest.mark.parametrize("img_size", [(64, 64), (32, 32), (30, 45)])
def test_cost_of_every_phase_is_what_the_counter_counts(img_size):
    model = tvtfast.build(ARCH, space="asvit", img_size=32, num_classes=10)
    tokens = ProgressiveTokens(PHASES)
    cost = tokens.cost(model, img_size, epochs=10)
    spent = full = 0
    for epoch in range(10):
        counter = FlopCounterMode(display=False)
        with (
            tokens.applied(model, epoch, 10),
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            counter,
        ):
            model(torch.zeros(1, 3, *img_size))
        spent += counter.get_total_flops()
        full += cost.full
    assert cost.saved == pytest.approx(1 - spent / full, abs=1e-12)
    assert 0.3 < cost.saved < 0.65
    assert f"{cost.saved:.0%} of the student's training FLOPs saved" in str(cost)


@pytest.mark.parametrize(
    "changes", [{"guided": True}, {"guided": False, "ema": 0.9, "dtype": "bfloat16"}]
)
def test_phases_are_recorded_and_continue_to_the_bit(
    small, tmp_path, interrupted, changes, assert_same, last_weights
):
    tokens = ProgressiveTokens(PHASES)
    whole = train(small, tmp_path / "whole", tokens, **changes)
    for _ in range(2):
        with interrupted():
            train(small, tmp_path / "stopped", tokens, **changes)
    train(small, tmp_path / "stopped", tokens, **changes)
    assert_same(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))
    assert [row["dilation"] for row in whole.history] == [4, 2, 1]
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in whole.history)
    assert ("guidance" in whole.history[0]) == changes["guided"]
    card = json.loads((tmp_path / "whole" / "student.json").read_text())["recipe"]
    assert [phase["epochs"] for phase in card["token_phases"]] == [1, 1, 1]
    assert card["tokens"] == {"phases": [[0.0, 4], [0.3, 2], [0.6, 1]]}
    model = tvtfast.build(ARCH, space="asvit", img_size=32, num_classes=10)
    assert card["token_flops_saved"] == round(tokens.cost(model, (32, 32), 3).saved, 4)
    images = torch.randn(2, 3, 32, 32)
    student = load_student(tmp_path / "whole").module
    assert torch.equal(student(images), whole.student.module(images))


def test_the_last_phase_alone_is_plain_training_to_the_bit(
    small, tmp_path, assert_same, last_weights
):
    train(small, tmp_path / "plain", epochs=2)
    train(small, tmp_path / "phase", ProgressiveTokens(((0.0, 1),)), epochs=2)
    assert_same(last_weights(tmp_path / "plain"), last_weights(tmp_path / "phase"))


def test_accuracy_of_a_coarse_epoch_is_that_of_all_tokens(small, tmp_path, interrupted):
    with interrupted():
        train(small, tmp_path, ProgressiveTokens(((0.0, 4), (0.9, 1))), guided=False, epochs=10)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert len(state["history"]) == 1
    kept = load_student(tmp_path)
    transform = eval_transform(32, kept.card.normalization)
    _, held_out = hold_out(small.part("train", 64))
    pairs = [(transform(image), label) for image, label in held_out]
    images, labels = torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs])
    told = kept.card.held_out_accuracy

    def accuracy():
        with torch.no_grad():
            return 100 * (kept.module(images).argmax(1) == labels).double().mean().item()

    assert told == pytest.approx(accuracy())
    kept.module.set_dilation(4)
    assert told != pytest.approx(accuracy()), "coarse tokens must tell a difference"


def test_models_without_coarse_tokens_are_refused(small, tmp_path):
    tokens = ProgressiveTokens()
    with pytest.raises(ValueError, match="AutoFormer cannot be trained on progressive tokens"):
        small.train(tmp_path / "student", plain=True, tokens=tokens, warmup_epochs=0)
    assert not (tmp_path / "student" / "last.pt").exists()
    with pytest.raises(ValueError, match="CifarResNet cannot be trained on progressive tokens"):
        train_teacher(
            "resnet8",
            small.part("train", 32),
            test=small.part("test", 8),
            output_dir=tmp_path / "teacher",
            recipe=Recipe(epochs=3, batch_size=32, tokens=tokens),
            device="cpu",
        )


@pytest.mark.parametrize(
    ("given", "phases"),
    [("true", [[0.0, 2], [0.5, 1]]), ("[[0,4],[0.3,1]]", [[0.0, 4], [0.3, 1]])],
)
def test_the_command_announces_what_is_saved(small, tmp_path, monkeypatch, capsys, given, phases):
    parts = {None: small.part("train", 32), "eval": small.part("test", 8)}
    monkeypatch.setattr(
        "tvtfast.data.splits.load_dataset", lambda name, path, split=None: parts[split]
    )
    arguments = ["--arch", ARCH, "--space", "asvit", "--guidance", "none", "--img-size", "16"]
    settings = ["--epochs", "3", "--batch-size", "32", "--device", "cpu", "--patch-size", "4"]
    chosen = ["--output", str(tmp_path), f"--progressive-tokens={given}"]
    assert main(["distill", *arguments, *settings, *chosen]) == 0
    assert "of the student's training FLOPs saved" in capsys.readouterr().err
    card = json.loads((tmp_path / "student.json").read_text())
    assert card["recipe"]["tokens"] == {"phases": phases}


@pytest.mark.parametrize("guidance", GUIDANCE)
def test_guidance_reaches_every_weight_from_coarse_grids(small, guidance):
    model = tvtfast.build(ARCH, space="asvit", img_size=32, num_classes=10).train()
    how = Distillation(guidance=guidance, pairs=((0, 0), (3, 2)))
    part = small.part("train", 4)
    guide = Guide(small.teacher(), part.normalization)
    objective = guided(model, guide, how, img_size=32, seed=0)
    images, labels = torch.randn(4, 3, 32, 32), part.labels
    batch = TrainingBatch(images, labels, torch.arange(4), torch.zeros(4, 5))
    for dilation in (4, 2, 1):
        model.set_dilation(dilation)
        objective.zero_grad()
        objective(batch, 0.0)["guidance"].backward()
        gradient = model.patch_embed.proj.weight.grad
        assert gradient is not None and gradient.isfinite().all() and gradient.any()
