"""Weights as people have them: names, prefixes, wrappers, formats, and what does not fit."""

from __future__ import annotations

import argparse
import logging

import pytest
import safetensors.torch
import torch
from torch import nn

import tvtfast
from tvtfast.common.normalization import Normalization
from tvtfast.models import CheckpointError, CifarResNet, named
from tvtfast.models.fitting import PREFIXES, spellings

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NESTED = ("", *PREFIXES, "module._orig_mod.", "_orig_mod.module.", "model.backbone._orig_mod.")
TO_PYCLS = {
    "conv1.": "stem.conv.",
    "bn1.": "stem.bn.",
    "linear.": "head.fc.",
    "fc.": "head.fc.",
}


@pytest.fixture(scope="module")
def cifar():
    return tvtfast.initialize_(CifarResNet(8, 7), seed=1).eval()


@pytest.fixture(scope="module")
def timm_weights():
    return tvtfast.load_teacher("resnet10t", num_classes=4, random_weights=True).module.state_dict()


def prefixed(weights, prefix):
    return {prefix + name: tensor for name, tensor in weights.items()}


def pycls(weights):
    """The names of pycls' ResNets."""
    renamed = {}
    for name, tensor in weights.items():
        if name.startswith("layer"):
            stage, block, rest = name.split(".", 2)
            for ours, theirs in (
                ("conv1.", "f.a."),
                ("bn1.", "f.a_bn."),
                ("conv2.", "f.b."),
                ("bn2.", "f.b_bn."),
                ("conv3.", "f.c."),
                ("bn3.", "f.c_bn."),
                ("shortcut.0.", "proj."),
                ("shortcut.1.", "bn."),
                ("downsample.0.", "proj."),
                ("downsample.1.", "bn."),
            ):
                if rest.startswith(ours):
                    rest = theirs + rest.removeprefix(ours)
                    break
            renamed[f"s{stage[-1]}.b{int(block) + 1}.{rest}"] = tensor
        else:
            first = name.split(".")[0] + "."
            renamed[TO_PYCLS[first] + name.removeprefix(first)] = tensor
    return renamed


@torch.no_grad()
def assert_is(teacher, module):
    assert torch.equal(teacher.module(IMAGES), module(IMAGES))


@pytest.mark.parametrize("prefix", NESTED)
def test_prefixes_of_training_tools(cifar, tmp_path, prefix):
    torch.save({"state_dict": prefixed(cifar.state_dict(), prefix)}, tmp_path / "w.pth")
    assert_is(tvtfast.load_teacher(str(tmp_path / "w.pth")), cifar)
    own = tvtfast.initialize_(CifarResNet(8, 7), seed=2).eval()
    assert_is(tvtfast.load_teacher(own, checkpoint=tmp_path / "w.pth"), cifar)


def test_a_prefix_that_is_part_of_the_model_stays(tmp_path):
    module = nn.ModuleDict({"model": nn.Linear(2, 2), "backbone": nn.Linear(2, 3)})
    torch.save(module.state_dict(), tmp_path / "w.pth")
    other = nn.ModuleDict({"model": nn.Linear(2, 2), "backbone": nn.Linear(2, 3)})
    tvtfast.load_teacher(other, checkpoint=tmp_path / "w.pth")
    assert torch.equal(other["model"].weight, module["model"].weight)


def test_spellings_lose_no_weight():
    weights = {"module.a": torch.zeros(1), "a": torch.ones(1)}
    assert [set(named) for named in spellings(weights)] == [{"module.a", "a"}]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda w: {"state_dict": w, "epoch": 3, "optimizer": {"state": {}}},
        lambda w: {"model": w, "args": argparse.Namespace(lr=0.1, name="x")},
        lambda w: {"model_state": w},
        lambda w: {"model_state_dict": w},
        lambda w: {"net": prefixed(w, "module."), "acc": 91.2},
        lambda w: {"model": {"state_dict": w}},
        lambda w: {"model": w, "model_ema": None},
    ],
)
def test_wrappers_of_training_scripts(cifar, tmp_path, wrapped):
    torch.save(wrapped(cifar.state_dict()), tmp_path / "w.pth")
    assert_is(tvtfast.load_teacher(tmp_path / "w.pth"), cifar)


@pytest.mark.parametrize(
    ("plain", "averaged"),
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema")],
)
def test_averaged_weights_are_taken_and_said(cifar, tmp_path, caplog, plain, averaged):
    other = tvtfast.initialize_(CifarResNet(8, 7), seed=2).state_dict()
    mean = prefixed(cifar.state_dict(), "module.") | {"n_averaged": torch.tensor(5)}
    torch.save({plain: other, averaged: mean}, tmp_path / "w.pth")
    with caplog.at_level(logging.INFO, "tvtfast.models"):
        assert_is(tvtfast.load_teacher(tmp_path / "w.pth"), cifar)
    said = [line for line in caplog.messages if "averaged weights" in line]
    assert said == [
        f"{tmp_path / 'w.pth'}: the averaged weights {averaged!r} are taken, {plain!r} beside them "
        "is not"
    ]


def test_checkpoints_of_pycls(cifar, tmp_path):
    names = pycls(cifar.state_dict())
    assert {"stem.conv.weight", "s2.b1.proj.weight", "s3.b1.f.a_bn.bias", "head.fc.bias"} < set(
        names
    )
    torch.save({"epoch": 9, "model_state": names, "cfg": "MODEL: ..."}, tmp_path / "w.pyth")
    assert_is(tvtfast.load_teacher(tmp_path / "w.pyth"), cifar)
    timm = tvtfast.load_teacher("resnet18", num_classes=3, random_weights=True)
    torch.save({"model_state": pycls(timm.module.state_dict())}, tmp_path / "18.pyth")
    assert_is(tvtfast.load_teacher("resnet18", checkpoint=tmp_path / "18.pyth"), timm.module)


def test_half_precision_becomes_single_and_is_said(cifar, tmp_path, caplog):
    half = {n: t.half() if t.is_floating_point() else t for n, t in cifar.state_dict().items()}
    torch.save(half, tmp_path / "w.pth")
    safetensors.torch.save_file(half, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        with caplog.at_level(logging.INFO, "tvtfast.models"):
            own = tvtfast.load_teacher(
                CifarResNet(8, 7), checkpoint=tmp_path / name, input_size=32
            ).module
        assert {p.dtype for p in own.parameters()} == {torch.float32}
        assert torch.equal(own.linear.weight, cifar.linear.weight.half().float())
        assert (
            f"{tmp_path / name}: weights in torch.float16 are brought to float32" in caplog.messages
        )


def test_classes_come_from_the_checkpoint(timm_weights, tmp_path):
    torch.save(prefixed(timm_weights, "module."), tmp_path / "mine.pth")
    safetensors.torch.save_file(timm_weights, tmp_path / "mine.safetensors")
    for name in ("mine.pth", "mine.safetensors"):
        teacher = tvtfast.load_teacher("resnet10t", checkpoint=tmp_path / name)
        assert teacher.num_classes == 4 and teacher(IMAGES).shape == (2, 4)
        assert str(teacher) == (
            "teacher resnet10t: 4 classes, input 176, ImageNet's normalisation, weights from "
            f"{tmp_path / name}"
        )


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v3_small",
        "squeezenet1_1",
        pytest.param("mobilenet_v2", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("googlenet", marks=pytest.mark.slow),
        pytest.param("swin_t", marks=pytest.mark.slow),
        pytest.param("vit_b_16", marks=pytest.mark.slow),
        pytest.param("vgg11", marks=pytest.mark.slow),
        pytest.param("convnext_tiny", marks=pytest.mark.slow),
        pytest.param("regnet_x_400mf", marks=pytest.mark.slow),
    ],
)
def test_torchvision_models_by_name_and_by_weights(name, tmp_path, caplog):
    from torchvision import models

    options = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
    torch.manual_seed(0)
    module = models.get_model(name, num_classes=5, **options).eval()
    torch.save({"model": prefixed(module.state_dict(), "module.")}, tmp_path / "w.pth")
    images = torch.randn(1, 3, 224, 224)
    sources = [tvtfast.load_teacher(name, checkpoint=tmp_path / "w.pth")]
    if not options:  # a checkpoint of googlenet has two more classifiers
        with caplog.at_level(logging.INFO, "tvtfast.models"):
            sources.append(tvtfast.load_teacher(tmp_path / "w.pth"))
        assert f"{tmp_path / 'w.pth'} holds the weights of {name}" in caplog.messages
    for teacher in sources:
        assert (teacher.name, teacher.num_classes, teacher.input_size) == (name, 5, 224)
        assert teacher.normalization == tvtfast.data.IMAGENET_NORMALIZATION
        with torch.no_grad():
            torch.testing.assert_close(teacher(images), module(images))
        last = teacher.features(images)[-1]
        assert last.size in ((7, 7), (13, 13), (14, 14)) and last.x.shape[0] == 1


def test_names_that_two_libraries_have_are_told_apart_by_the_weights(tmp_path):
    from torchvision import models

    name = "mobilenet_v3_small"  # torchvision's; timm's has other names of layers
    assert named.is_torchvision(name) and not named.is_timm(name)
    name = "vgg11"
    assert named.is_torchvision(name) and named.is_timm(name)
    with torch.device("meta"):
        shapes = models.get_model(name, num_classes=2).state_dict()
    assert "classifier.6.weight" in shapes


def test_names_come_before_files(tmp_path, monkeypatch, caplog, cifar):
    monkeypatch.chdir(tmp_path)
    tvtfast.load_teacher(cifar).save("resnet18", dataset="d", accuracy=1.0)
    with pytest.raises(ValueError, match="names a model without weights"):
        tvtfast.load_teacher("resnet18")
    assert "for the path of that name give ./resnet18" in caplog.text
    assert tvtfast.load_teacher("./resnet18").num_classes == 7


def test_every_tagged_name_of_timm_is_a_name():
    import timm

    tagged = [name for name in timm.list_pretrained() if name.rsplit(".", 1)[-1].isalpha()]
    assert len(tagged) > 50
    assert all(map(named.is_timm, tagged))
    assert not any(map(named.is_timm, ("resnet18.pth", "resnet18.safetensors", "mine.th")))


def test_a_tagged_name_is_loaded():
    teacher = tvtfast.load_teacher("resnet18.a1_in1k", num_classes=2, random_weights=True)
    assert (teacher.name, teacher.num_classes) == ("resnet18.a1_in1k", 2)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "resnet20", "vit_small_patch16_224.dino"]
)
def test_a_random_teacher_takes_a_word(name):
    with pytest.raises(ValueError, match="without weights") as refusal:
        tvtfast.load_teacher(name)
    for way in ("--teacher-checkpoint PATH", "checkpoint=PATH", "pretrained=True"):
        assert way in str(refusal.value)


def test_what_does_not_fit_is_one_line_of_three_keys(timm_weights, cifar, tmp_path):
    path = tmp_path / "w.pth"
    torch.save(timm_weights, path)
    with pytest.raises(CheckpointError) as refusal:
        tvtfast.load_teacher("resnet18", checkpoint=path)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith(f"the weights in {path} do not fit timm's resnet18 (")
    assert "missing: conv1.weight, " in message and "unexpected: conv1.0.weight, " in message
    assert "--teacher NAME --teacher-checkpoint PATH" in message and "checkpoint=PATH" in message
    assert message.count(".weight") + message.count(".bias") < 30
    torch.save(cifar.state_dict(), path)
    with pytest.raises(CheckpointError, match=r"do not fit CIFAR resnet20 \(\d+ missing: layer1.1"):
        tvtfast.load_teacher("resnet20", checkpoint=path)
    with pytest.raises(
        CheckpointError, match=r"linear.weight is \[7, 64\] and should be \[3, 64\]"
    ):
        tvtfast.load_teacher(CifarResNet(8, 3), checkpoint=path)


def test_a_refused_checkpoint_changes_nothing(cifar, tmp_path):
    torch.save({n: t for n, t in cifar.state_dict().items() if n != "linear.bias"}, tmp_path / "w")
    own = tvtfast.initialize_(CifarResNet(8, 7), seed=5)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    with pytest.raises(CheckpointError, match="1 missing: linear.bias"):
        tvtfast.load_teacher(own, checkpoint=tmp_path / "w")
    assert all(torch.equal(own.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": True, "random_weights": True}, "pretrained and random_weights exclude"),
        ({"source": "folder", "num_classes": 3}, "num_classes cannot be given with folder"),
        (
            {"source": nn.Identity(), "pretrained": True},
            "pretrained cannot be given with a Identity",
        ),
    ],
)
def test_options_that_say_nothing_here(options, message, cifar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tvtfast.load_teacher(cifar).save("folder", dataset="d", accuracy=1.0)
    with pytest.raises(ValueError, match=message):
        tvtfast.load_teacher(options.pop("source", "resnet18"), **options)


def test_own_size_and_normalisation_win(cifar, tmp_path):
    torch.save(cifar.state_dict(), tmp_path / "w.pth")
    own = Normalization((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    teacher = tvtfast.load_teacher(tmp_path / "w.pth", input_size=16, normalization=own)
    assert str(teacher).startswith(
        "teacher cifar_resnet8: 7 classes, input 16, mean 0.5/0.4/0.3 and std 0.2/0.3/0.4, weights"
    )
    assert teacher.prepare(IMAGES).shape[-1] == 16
    unchanged = tvtfast.load_teacher(teacher, input_size=8)
    assert (teacher.input_size, unchanged.input_size) == (16, 8)


def test_files_that_claim_more_than_they_hold(tmp_path):
    torch.save({"a.weight": torch.zeros(1).expand(10**12)}, tmp_path / "expanded.pth")
    with pytest.raises(CheckpointError, match=r"expanded.pth: a.weight says .* contiguous"):
        tvtfast.load_teacher(nn.Identity(), checkpoint=tmp_path / "expanded.pth")
    itself: dict[str, object] = {}
    itself["model"] = itself
    torch.save(itself, tmp_path / "circle.pth")
    with pytest.raises(CheckpointError, match="circle.pth holds entries that are not tensors"):
        tvtfast.load_teacher(nn.Identity(), checkpoint=tmp_path / "circle.pth")


FAMILIES = (
    "convnext_atto",
    "regnetx_002",
    "mobilenetv3_small_050",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "efficientnet_lite0",
            "vit_tiny_patch16_224",
            "deit_tiny_distilled_patch16_224",
            "swin_tiny_patch4_window7_224",
            "pit_ti_224",
            "levit_128s",
            "mixer_s32_224",
            "densenet121",
            "repvgg_a0",
            "edgenext_xx_small",
            "vgg11",
        )
    ),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_features_and_logits_of_timm_teachers_of_many_kinds(name):
    teacher = tvtfast.load_teacher(name, num_classes=3, random_weights=True)
    features, logits = teacher.features_and_logits(IMAGES)
    torch.testing.assert_close(logits, teacher(IMAGES), rtol=0, atol=1e-4)
    info = teacher.module.feature_info
    stated = [stage["num_chs"] for stage in info] if isinstance(info, list) else info.channels()
    assert {f.x.shape[1 if f.grid is None else -1] for f in features} <= set(stated)
    assert all(f.size[0] == f.size[1] for f in features)
