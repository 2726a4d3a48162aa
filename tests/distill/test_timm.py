"""Models of timm as students, by name."""

from __future__ import annotations

import json

import pytest
import timm
import torch

from tvtfast.cli import main
from tvtfast.common.run_folder import OtherRunError
from tvtfast.distill import distill
from tvtfast.models import load_student
from tvtfast.models.timm_network import fitted
from tvtfast.students import export, predict

SHORT = ["--epochs", "1", "--batch-size", "32", "--device", "cpu", "--augmentation", "light"]
TINY = "test_vit"


def built(name, **options):
    return fitted(name, num_classes=7, **options)


@pytest.mark.parametrize(
    ("name", "options", "arguments"),
    [
        (TINY, {"side": 160}, {"img_size": 160}),
        ("deit_tiny_patch16_224", {"side": 32}, {"img_size": 32, "patch_size": 4}),
        (
            TINY,
            {"side": 32, "patch_size": 8, "drop_path_rate": 0.1},
            {"img_size": 32, "patch_size": 8, "drop_path_rate": 0.1},
        ),
        (TINY, {"side": 126}, {"img_size": 126, "patch_size": 18}),
        ("pit_ti_224", {"side": 64}, {"img_size": 64}),
        ("resnet10t", {"side": 32}, {}),
    ],
)
def test_models_are_fitted_to_the_images(name, options, arguments):
    network = built(name, **options)
    assert dict(network.arguments) == arguments
    side = options["side"]
    state = torch.random.get_rng_state()
    first, again, other = (network.build(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    with torch.no_grad():
        assert network.build()(torch.zeros(1, 3, side, side)).shape == (1, 7)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet10t", {"side": 32, "patch_size": 4}, "patch_size is 4, and timm's resnet10t takes"),
        (
            "deit_tiny_patch16_224",
            {"side": 30, "patch_size": 8},
            "img_size is 30.*leave pixels out",
        ),
        ("deit_tiny_patch16_224", {"side": 97}, "img_size is 97, which no patch .* divides"),
        (
            "coat_lite_tiny",
            {"side": 12},
            "timm's coat_lite_tiny does not work with img_size=12 .Calculated padded input size",
        ),
    ],
)
def test_sizes_that_do_not_go_together(name, options, message):
    with pytest.raises(ValueError, match=message):
        built(name, **options)


@pytest.fixture(scope="module")
def student(small, tmp_path_factory):
    """Trained with guidance and with logits for its distillation token, if it has one."""
    folder = tmp_path_factory.mktemp("timm") / "student"
    data = {"dataset": small.part("train", 64), "test": small.part("test", 20)}
    how = small.Distillation(guidance="attention", logits="soft")
    return distill(
        TINY,
        teacher=small.teacher(),
        output_dir=folder,
        how=how,
        recipe=small.Recipe(**small.RECIPE | {"epochs": 1}),
        device="cpu",
        **data,
    )


def test_its_folder_is_loaded_without_the_network(student):
    card = student.student.card
    assert card.timm == {"name": TINY, "arguments": {"img_size": 16, "patch_size": 2}}
    loaded = load_student(student.folder)
    assert loaded.card == card and not loaded.module.training
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = student.student.module(images)
        assert torch.equal(loaded.module(images), expected)
        alone = timm.create_model(f"local-dir:{student.folder}", pretrained=True).eval()
        assert torch.equal(alone(images), expected)


def test_the_same_call_trains_nothing_again_and_another_is_refused(
    student, small, interrupted, tmp_path
):
    data = {"dataset": small.part("train", 64), "test": small.part("test", 20)}
    rest = {"recipe": small.Recipe(**small.RECIPE | {"epochs": 2}), "device": "cpu"}
    whole = distill(TINY, output_dir=tmp_path / "whole", **data, **rest)
    with interrupted():
        distill(TINY, output_dir=tmp_path / "stopped", **data, **rest)
    stopped = distill(TINY, output_dir=tmp_path / "stopped", **data, **rest)
    ours, theirs = (one.student.module.state_dict() for one in (whole, stopped))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with pytest.raises(OtherRunError, match="timm was .*patch_size.* now .*patch_size"):
        distill(TINY, output_dir=tmp_path / "whole", patch_size=4, **data, **rest)


def test_a_folder_is_trained_on(student, small, tmp_path):
    data = {"dataset": small.part("train", 64), "test": small.part("test", 20)}
    recipe = small.Recipe(**small.RECIPE | {"epochs": 1, "lr": 1e-12, "min_lr": 0.0})
    further = distill(student.folder, output_dir=tmp_path, recipe=recipe, device="cpu", **data)
    before, after = (one.student.module.state_dict() for one in (student, further))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert further.student.card.timm == student.student.card.timm


def test_a_distillation_token_learns_from_the_teacher(small, tmp_path):
    torch.manual_seed(0)
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
    module = timm.models.deit.VisionTransformerDistilled(num_classes=10, **sizes)
    before = module.head_dist.weight.detach().clone()
    small.train(tmp_path, student=module, epochs=1, guidance=None, logits="soft")
    assert module.distilled_training and not torch.equal(module.head_dist.weight, before)


@pytest.mark.slow
def test_it_becomes_onnx(student, tmp_path):
    pytest.importorskip("onnxruntime")
    assert export(student.student, tmp_path / "student.onnx").stat().st_size > 10_000


def test_on_the_command_line(small, tmp_path, capsys):
    import numpy as np
    from PIL import Image

    arrays = {}
    for split, count in (("train", 64), ("test", 20)):
        part = small.part(split, count)
        arrays[f"x_{split}"] = np.stack([np.asarray(part.images[i]) for i in range(count)])
        arrays[f"y_{split}"] = part.labels.numpy()
    np.savez(tmp_path / "mine.npz", **arrays)
    Image.fromarray(arrays["x_test"][0]).convert("RGB").save(tmp_path / "one.png")
    command = ["distill", "--data-set", str(tmp_path / "mine.npz"), "--guidance", "none", *SHORT]
    student = str(tmp_path / "student")
    sizes = ["--img-size", "16", "--output-dir", student]
    assert main([*command, "--arch", TINY, *sizes, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["student"] == student
    (found,) = predict(student, tmp_path / "one.png", top=2, device="cpu")
    assert len(found.labels) == 2
    assert main(["export", "--student", student, "--output", str(tmp_path / "out")]) == 0
    assert load_student(tmp_path / "out").card == load_student(student).card
    for arguments, message in (
        (["--arch", "deit_tinny_patch16_224"], "did you mean deit_tiny_patch16_224"),
        (["--arch", TINY, "--img-size", "15", "--patch-size", "4"], "leave pixels out"),
        (["--arch", TINY, "--space", "pit"], "--space is given, and 'test_vit' is a model of timm"),
    ):
        capsys.readouterr()
        assert main([*command, *arguments, "--output-dir", str(tmp_path / "no")]) == 2
        assert message in capsys.readouterr().err
