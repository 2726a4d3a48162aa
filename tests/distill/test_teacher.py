"""Training of teachers."""

from __future__ import annotations

import json

import pytest
import torch

import tvtfast
from tvtfast.distill import TEACHER_RECIPE, Recipe, train_teacher

SHORT = Recipe(optimizer="sgd", lr=0.05, epochs=2, batch_size=32, warmup_epochs=0)


def train(small, name, folder, **changes):
    options = {"recipe": SHORT, "device": "cpu"} | changes
    return train_teacher(
        name, small.part("train", 64), test=small.part("test", 20), output_dir=folder, **options
    )


@pytest.mark.parametrize(("name", "side"), (("resnet8", 32), ("convnext_atto", 32)))
def test_a_teacher_folder_is_read_back(small, tmp_path, name, side):
    trained = train(small, name, tmp_path / "teacher", img_size=side)
    card = json.loads((tmp_path / "teacher" / "teacher.json").read_text())
    assert card["name"] == name and card["input_size"] == side
    assert card["dataset"] == "digits-part" and 0 <= card["accuracy"] <= 100
    again = tvtfast.load_teacher(str(tmp_path / "teacher"))
    assert again.fingerprint == trained.fingerprint
    images = torch.randn(2, 3, side, side)
    assert again(images).shape == (2, 10)
    student = small.train(tmp_path / "student", teacher=str(tmp_path / "teacher"), epochs=1)
    assert student.history[0]["guidance"] > 0


def test_a_teacher_continues_to_the_bit(small, tmp_path, interrupted):
    whole = train(small, "resnet8", tmp_path / "whole", img_size=16)
    with interrupted():
        train(small, "resnet8", tmp_path / "stopped", img_size=16)
    continued = train(small, "resnet8", tmp_path / "stopped", img_size=16)
    assert continued.fingerprint == whole.fingerprint


def test_the_published_recipe_of_teachers():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    optimizer = TEACHER_RECIPE.build_optimizer(module)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD) and group["nesterov"]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 5e-4)
    schedule = TEACHER_RECIPE.build_schedule(optimizer, 10)
    rates = []
    for step in (0, 1500, 3000):
        schedule.step_update(step)
        rates.append(group["lr"])
    assert rates == pytest.approx([0.1, 0.05, 0.0])


def test_the_published_recipe_of_students(small):
    recipe = Recipe()
    model = tvtfast.build(small.ARCH, space=small.SPACE, img_size=16, patch_size=8, distilled=True)
    optimizer = recipe.build_optimizer(model)
    plain, decayed = sorted(optimizer.param_groups, key=lambda group: group["weight_decay"])
    assert (plain["weight_decay"], decayed["weight_decay"]) == (0.0, 0.05)
    assert type(optimizer) is torch.optim.AdamW and decayed["betas"] == (0.9, 0.999)
    exempt = {id(p) for p in plain["params"]}
    for name, parameter in model.named_parameters():
        free = parameter.ndim == 1 or name in ("cls_token", "dist_token", "pos_embed")
        assert (id(parameter) in exempt) == free, name
    schedule = recipe.build_schedule(optimizer, 10)
    rates = []
    for step in (0, 100, 200, 1500, 3000):
        schedule.step_update(step)
        rates.append(decayed["lr"])
    assert rates[0] == pytest.approx(5e-7) and rates[1] == pytest.approx((5e-7 + 5e-4) / 2)
    assert rates[3] == pytest.approx((5e-4 + 5e-6) / 2) and rates[4] == pytest.approx(5e-6)


def test_teachers_that_cannot_be(small, tmp_path):
    with pytest.raises(ValueError, match="unknown teacher 'resnet9'"):
        train(small, "resnet9", tmp_path)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10))
    with pytest.raises(ValueError, match="cannot describe a Sequential"):
        tvtfast.load_teacher(module).save(tmp_path / "x", dataset="digits", accuracy=1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"dtype": "float8"}, "allowed: float32"),
        ({"augmentation": "mixup"}, "allowed: strong, weak, light, none"),
        ({"epochs": 0}, "epochs is 0; give a whole number of at least 1"),
        ({"lr": 0.0}, "above 0"),
        ({"epochs": 2, "warmup_epochs": 3}, "from 0 to 2"),
        ({"clip_grad": 0.0}, "give a number above 0"),
        ({"ema": 1.0}, "at least 0 and below 1"),
    ),
)
def test_recipes_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)
