"""Teachers: where they come from, what they see, what is refused."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast.data import IMAGENET_NORMALIZATION, Normalization, frozen_batch, load_dataset
from tvtfast.models import CheckpointError, CifarResNet, UnsupportedModelError


@torch.no_grad()
def accuracy(model, images, labels):
    """Top-1 accuracy in percent."""
    predicted = torch.cat([model(batch).argmax(dim=1) for batch in images.split(256)])
    return 100 * (predicted == labels).double().mean().item()


@pytest.fixture
def resnet():
    return tvtfast.initialize_(CifarResNet(8, 10, "pad"), seed=3).eval()


@pytest.mark.slow
def test_trained_resnets_reach_their_stated_accuracy(shared_data):
    """93.39 and 91.73 % on all of CIFAR-10; a subset of 2,000 has a standard error of 0.6."""
    test = load_dataset(shared_data / "cifar10_subset.npz", split="test")
    batch = frozen_batch(test, len(test), img_size=32)
    for file, stated in (
        ("cifar10_resnet56-4bfd9763.th", 93.39),
        ("cifar10_resnet20-12fca82f.th", 91.73),
    ):
        teacher = tvtfast.load_teacher(shared_data / file)
        assert accuracy(teacher.module, batch.images, batch.labels) == pytest.approx(
            stated, abs=1.8
        )


def test_depth_classes_and_shortcut_are_read_from_the_weights(tmp_path):
    for depth, shortcut in ((8, "pad"), (14, "projection")):
        model = tvtfast.initialize_(CifarResNet(depth, 7, shortcut))
        path = tmp_path / f"{shortcut}.pth"
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
        loaded = tvtfast.load_teacher(path)
        assert (loaded.module.depth, loaded.module.num_classes) == (depth, 7)
        assert loaded.module.shortcut == shortcut
        assert loaded.input_size == 32
        images = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(loaded(images), model.eval()(images), rtol=0, atol=0)


def test_other_spellings_of_the_same_weights(tmp_path):
    model = tvtfast.initialize_(CifarResNet(8, 10, "projection"))
    renamed = {
        k.replace("linear.", "fc.").replace(".shortcut.", ".downsample."): v
        for k, v in model.state_dict().items()
    }
    torch.save(renamed, tmp_path / "a.pth")
    torch.save(model.state_dict(), tmp_path / "b.pth")
    first, second = (tvtfast.load_teacher(tmp_path / name) for name in ("a.pth", "b.pth"))
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_depth_counts_weighted_layers(depth):
    """6n + 2 layers: 6n + 1 convolutions and the classifier."""
    model = CifarResNet(depth, 10, "pad")
    assert sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in model.modules()) == depth
    assert [tuple(s.shape[1:]) for s in model.stages(torch.zeros(1, 3, 32, 32))] == [
        (16, 32, 32),
        (32, 16, 16),
        (64, 8, 8),
    ]


def test_folder_round_trip_is_all_or_nothing(tmp_path, resnet):
    teacher = tvtfast.Teacher(
        resnet, name="mine", input_size=32, normalization=IMAGENET_NORMALIZATION
    )
    folder = tmp_path / "teachers" / "mine"
    teacher.save(folder, dataset="digits", accuracy=98.5)
    loaded = tvtfast.load_teacher(folder)
    assert loaded.fingerprint == teacher.fingerprint
    assert json.loads((folder / "teacher.json").read_text())["accuracy"] == 98.5
    with pytest.raises(FileExistsError, match="remove it or choose another"):
        teacher.save(folder, dataset="digits", accuracy=98.5)
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_fingerprint_names_weights_size_and_normalisation(resnet):
    def fingerprint(**options):
        return tvtfast.load_teacher(resnet, **options).fingerprint

    base = fingerprint(input_size=32)
    assert base == fingerprint(input_size=32)
    assert base != fingerprint(input_size=64)
    assert base != fingerprint(input_size=32, normalization=IMAGENET_NORMALIZATION)
    with torch.no_grad():
        resnet.linear.bias[0] += 1
    assert base != fingerprint(input_size=32)


def test_images_are_resized_as_published(resnet):
    teacher = tvtfast.load_teacher(resnet, input_size=32)
    images = torch.randn(2, 3, 224, 224)
    expected = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(teacher.prepare(images), expected, rtol=0, atol=0)
    assert teacher.features(images)[-1].size == (8, 8)


def test_images_are_renormalised_where_both_sides_are_known(resnet):
    own = Normalization((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    teacher = tvtfast.load_teacher(resnet, normalization=own)
    pixels = torch.rand(2, 3, 32, 32)

    def normalized(by):
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (by.mean, by.std))
        return (pixels - mean) / std

    given = normalized(IMAGENET_NORMALIZATION)
    torch.testing.assert_close(teacher.prepare(given, IMAGENET_NORMALIZATION), normalized(own))
    torch.testing.assert_close(teacher.prepare(given), given, rtol=0, atol=0)


def test_what_tvtfast_builds_is_frozen_and_evaluates(tmp_path, resnet):
    torch.save(resnet.state_dict(), tmp_path / "weights.pth")
    teacher = tvtfast.load_teacher(tmp_path / "weights.pth")
    assert not any(part.training for part in teacher.module.modules())
    assert not any(p.requires_grad for p in teacher.module.parameters())
    assert tvtfast.load_teacher(teacher) is teacher


def test_timm_teachers_bring_size_and_normalisation(tmp_path):
    teacher = tvtfast.load_teacher("resnet18", num_classes=10, input_size=64, random_weights=True)
    assert teacher.normalization == IMAGENET_NORMALIZATION
    features = teacher.features(torch.randn(1, 3, 32, 32))
    assert features[-1].x.shape == (1, 512, 2, 2)
    torch.save(teacher.module.state_dict(), tmp_path / "weights.pth")
    again = tvtfast.load_teacher(
        "resnet18", num_classes=10, input_size=64, checkpoint=tmp_path / "weights.pth"
    )
    assert again.fingerprint == teacher.fingerprint
    with pytest.raises(CheckpointError, match=r"do not fit timm's resnet18 \(2 of another shape"):
        tvtfast.load_teacher("resnet18", num_classes=7, checkpoint=tmp_path / "weights.pth")


def test_modules_without_spatial_features_are_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    with pytest.raises(UnsupportedModelError, match="has no forward_intermediates"):
        tvtfast.load_teacher(flat).features(torch.zeros(1, 3, 2, 2))
    teacher = tvtfast.load_teacher(flat, feature_fn=lambda module, images: module(images)[0])
    with pytest.raises(UnsupportedModelError, match=r"of shape \[4\] for 1 images; return a map"):
        teacher.features(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("resnet-fifty", ValueError, "neither a file, a folder nor the name of a model"),
        ("resnet5", ValueError, "did you mean .*resnet50"),
        ("weights.pth", FileNotFoundError, "no teacher at weights.pth"),
        ("some/where", FileNotFoundError, "no teacher at some/where"),
    ],
)
def test_what_is_not_there(source, error, message):
    with pytest.raises(error, match=message):
        tvtfast.load_teacher(source)


class Payload:
    def __reduce__(self):
        return print, ("code from a checkpoint ran",)


def test_damaged_and_foreign_checkpoints(tmp_path, resnet, capsys):
    good = tmp_path / "good.pth"
    torch.save(resnet.state_dict(), good)
    cases = {
        "truncated.pth": good.read_bytes()[:2000],
        "garbage.pth": b"not a checkpoint",
        "empty.pth": b"",
        "garbage.safetensors": b"not a checkpoint",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=name):
            tvtfast.load_teacher(tmp_path / name)
    torch.save({"state_dict": Payload()}, tmp_path / "malicious.pth")
    with pytest.raises(CheckpointError, match="never runs code") as refusal:
        tvtfast.load_teacher(tmp_path / "malicious.pth")
    assert "weights_only" not in str(refusal.value), "torch advises to switch its safety off"
    assert "ran" not in capsys.readouterr().out
    torch.save({"epoch": 3, "weight": torch.zeros(1)}, tmp_path / "mixed.pth")
    with pytest.raises(CheckpointError, match="not tensors: epoch"):
        tvtfast.load_teacher(tmp_path / "mixed.pth")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(CheckpointError, match="not those of a CIFAR ResNet"):
        tvtfast.load_teacher(tmp_path / "linear.pth")


def test_damaged_folders(tmp_path, resnet):
    folder = tmp_path / "teacher"
    tvtfast.load_teacher(resnet).save(folder, dataset="digits", accuracy=1.0)
    (folder / "model.safetensors").write_bytes(b"gone")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        tvtfast.load_teacher(folder)
    (folder / "teacher.json").write_text("{}")
    with pytest.raises(CheckpointError, match="as the card of a teacher"):
        tvtfast.load_teacher(folder)
    (folder / "teacher.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no teacher\.json"):
        tvtfast.load_teacher(folder)
