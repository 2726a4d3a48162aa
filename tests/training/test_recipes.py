"""What a recipe says is what a step does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from tvtfast.cli.main import main
from tvtfast.spaces import get
from tvtfast.training import Recipe, recipe_of
from tvtfast.training.loading import EpochSampler, TrainingBatch
from tvtfast.training.losses import DistillationLoss
from tvtfast.training.mixing import Mixing
from tvtfast.training.objective import Objective
from tvtfast.training.processes import Team

ONE = Team(0, 1, torch.device("cpu"))


def test_named_recipes_have_the_published_values():
    deit = recipe_of("deit")
    assert (deit.epochs, deit.batch_size, deit.lr, deit.min_lr, deit.warmup) == (
        300, 1024, 1e-3, 1e-5, 5
    )  # fmt: skip
    assert (deit.mixup, deit.cutmix, deit.drop_path, deit.repeats) == (0.8, 1.0, 0.1, 3)
    retrained = recipe_of("vitas-retrain")
    assert (retrained.mixup, retrained.cutmix, retrained.drop_path) == (0.0, 0.0, 0.1)
    assert retrained.augmentation == "strong" and recipe_of("vitas-superformer").cutmix == 1.0
    assert recipe_of("tiny-transformers") == Recipe(drop_path=0.1)
    with pytest.raises(ValueError, match="unknown recipe 'diet'.*deit"):
        recipe_of("diet")


@pytest.mark.parametrize("command", ("distill", "supernet", "teacher"))
def test_a_printed_recipe_is_read_again(command, tmp_path, capsys):
    assert main([command, "--recipe", "deit", "--lr", "0.002", "--print-recipe"]) == 0
    text = capsys.readouterr().out
    printed = yaml.safe_load(text)
    assert printed["lr"] == 0.002 and printed["mixup"] == 0.8 and printed["warmup_epochs"] == 5
    (tmp_path / "recipe.yaml").write_text(text)
    assert main([command, "--cfg", str(tmp_path / "recipe.yaml"), "--print-recipe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed


def test_a_recipe_may_stand_in_the_configuration(tmp_path, capsys):
    (tmp_path / "cfg.yaml").write_text("recipe: deit\nepochs: 30\n")
    assert main(["distill", "--cfg", str(tmp_path / "cfg.yaml"), "--print-recipe", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["epochs"], found["repeats"], found["warmup_epochs"]) == (30, 3, 0)
    assert main(["distill", "--recipe", "diet", "--print-recipe"]) == 2
    assert "unknown recipe 'diet'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    (
        ({"optimizer": "adamv"}, "optimizer is 'adamv'; give adamw, sgd or another"),
        ({"mixup": 0.8, "batch_size": 33}, "batch_size=33: mixup and CutMix pair images"),
        ({"augmentation": "light", "random_erasing": 0.5}, "random_erasing=0.5 is of augm"),
        ({"augmentation": "weak", "rand_augment": 5}, "rand_augment=5 is of augmentation strong"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5"),
        ({"repeats": 0}, "repeats is 0"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
    ),
)
def test_what_no_recipe_can_be(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)


@pytest.mark.parametrize("alphas", ({"cutmix": 1.0}, {"mixup": 0.8}))
def test_labels_are_mixed_as_images_are(alphas):
    labels = torch.arange(4)
    mixing = Mixing(Recipe(**alphas), 4, 0, ONE)

    def mixed(epoch, step):
        pixels = nn.functional.one_hot(labels).float().view(4, 4, 1, 1).expand(4, 4, 32, 32)
        return mixing(TrainingBatch(pixels.contiguous(), labels, labels, labels), epoch, step)

    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first, second = mixed(0, 1), mixed(0, 2)
    assert (np.random.get_state()[1] == before).all()
    assert not torch.equal(first.labels, second.labels)
    assert torch.equal(mixed(0, 1).images, first.images)
    for batch in (first, second):
        torch.testing.assert_close(batch.images.mean(dim=(2, 3)), batch.labels)


def test_repeats_of_an_image_are_further_copies():
    sampler = EpochSampler(12, 6, 0, ONE, repeats=3)
    keys = [key for batch in sampler for key in batch]
    assert len(keys) == 12 and len({key[1] for key in keys}) == 4
    assert [len(key) for key in keys[:3]] == [2, 3, 3] and len(set(keys)) == 12
    parts = [
        [
            key
            for batch in EpochSampler(12, 3, 0, Team(rank, 2, ONE.device), repeats=3)
            for key in batch
        ]
        for rank in range(2)
    ]
    assert sorted(parts[0] + parts[1]) == sorted(keys)


def test_steps_of_pairs_are_even():
    assert EpochSampler(11, 32, 0, ONE, pairs=True).step_images == 10
    assert EpochSampler(11, 32, 0, ONE).step_images == 11
    with pytest.raises(ValueError, match="1 images cannot be shared by 1 processes in pairs"):
        EpochSampler(1, 32, 0, ONE, pairs=True)


@pytest.mark.parametrize("name", ("autoformer-tiny", "pit", "vitas-twins", "asvit"))
def test_layer_decay_falls_towards_the_input(name):
    from tvtfast.models.builder import blank

    space = get(name)
    model = blank(space.sample(1)[0], space=space, img_size=64, num_classes=4)
    rates = {}
    groups = Recipe(layer_decay=0.5).build_optimizer(Objective(model, DistillationLoss()))
    for group in groups.param_groups:
        for parameter in group["params"]:
            rates[id(parameter)] = group["lr_scale"]
    by_name = {n: rates[id(p)] for n, p in model.named_parameters()}
    assert by_name["head.weight"] == 1.0
    first = next(s for n, s in by_name.items() if n.startswith("patch_embed"))
    assert first == min(by_name.values())
    blocks = [s for n, s in by_name.items() if n.endswith("attn.proj.weight")]
    assert blocks == sorted(blocks) and len(set(blocks)) == len(blocks)
    assert blocks[-1] == 0.5


def test_layer_decay_needs_layers():
    plain = Objective(nn.Linear(2, 2), DistillationLoss())
    with pytest.raises(ValueError, match="Linear does not say what its layers are"):
        Recipe(layer_decay=0.5).build_optimizer(plain)
