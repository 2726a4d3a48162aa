"""``--teacher`` and ``--teacher-checkpoint``, in every command that takes a teacher."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import tvtfast
from tvtfast.cli import main
from tvtfast.models import CifarResNet

ARCH = json.dumps({"hidden_dim": 192, "depth": 12, "num_heads": [3] * 12, "mlp_ratio": [3.5] * 12})
SMALL = ["--img-size", "32", "--patch-size", "16", "--batch-size", "4"]
TRAIN = ["--epochs", "1", "--warmup-epochs", "0", "--augmentation", "none"]
TIMM = "resnet10t"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes of four images."""
    root = tmp_path_factory.mktemp("data") / "mine"
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return str(root)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A timm network of two classes."""
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    module = tvtfast.load_teacher(TIMM, num_classes=2, random_weights=True).module
    torch.save({"state_dict": {f"module.{n}": t for n, t in module.state_dict().items()}}, path)
    return str(path)


@pytest.fixture
def commands(data, tmp_path):
    """What every command is called with, without a teacher."""
    scored = ["--data-set", data, "--proxies", "teacher_aware", *SMALL]
    truth = tmp_path / "truth.json"
    rows = [{"arch": json.loads(ARCH) | {"mlp_ratio": [r] * 12}, "mine": r} for r in (3.5, 4.0)]
    truth.write_text(json.dumps(rows))
    out = ["--output-dir", str(tmp_path / "out")]
    trained = ["--data-set", data, *SMALL, *TRAIN, *out]
    return {
        "search": ["--trials", "2", *scored, *out],
        "score": ["--arch", ARCH, *scored],
        "correlate": ["--truth", str(truth), "--resamples", "5", *scored, *out],
        "distill": ["--arch", ARCH, "--space", "autoformer-tiny", *trained],
        "supernet": ["--space", "vitas-deit", "--guidance", "attention", *trained],
    }


@pytest.mark.parametrize(
    "command",
    ["search", "score", "distill", pytest.param("correlate", marks=pytest.mark.slow)]
    + [pytest.param("supernet", marks=pytest.mark.slow)],
)
def test_weights_of_a_timm_network_teach_every_command(command, commands, weights, capsys):
    named = ["--teacher", TIMM, "--teacher-checkpoint", weights]
    assert main([command, *commands[command], *named]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "teacher resnet10t" in line]
    assert said == [
        f"tvtfast: teacher {TIMM}: 2 classes, input 176, ImageNet's normalisation, weights from "
        f"{weights}"
    ]


@pytest.mark.parametrize("command", ["search", "score", "correlate", "distill", "supernet", "run"])
def test_a_random_teacher_is_refused_before_work(command, commands, data, tmp_path, capsys):
    run = ["--data-set", data, *SMALL, "--output-dir", str(tmp_path / "out")]
    assert main([command, *commands.get(command, run), "--teacher", TIMM]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--teacher-checkpoint PATH" in error and "--teacher-pretrained true" in error
    assert "classes" in error
    assert not (tmp_path / "out" / "last.pt").exists()


@pytest.mark.parametrize("command", ["distill", "supernet", "run"])
def test_logits_of_other_classes_are_refused_before_work(command, commands, data, tmp_path, capsys):
    path = tmp_path / "many.pth"
    torch.save(tvtfast.initialize_(CifarResNet(8, 7)).state_dict(), path)
    run = ["--data-set", data, *SMALL, "--output-dir", str(tmp_path / "out")]
    asked = [*commands.get(command, run), "--guidance", "none", "--logits", "soft"]
    assert main([command, *asked, "--teacher", str(path)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "knows 7 classes and the data set has 2" in error and "--logits none" in error
    assert not (tmp_path / "out" / "last.pt").exists()


def test_a_checkpoint_alone_says_whose_it_is(commands, tmp_path, capsys):
    path = tmp_path / "mine.pth"
    torch.save({"net": tvtfast.initialize_(CifarResNet(8, 7)).state_dict()}, path)
    for named in (["--teacher", str(path)], ["--teacher-checkpoint", str(path)]):
        assert main(["score", *commands["score"], *named]) == 0
        assert "teacher cifar_resnet8: 7 classes, input 32" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--teacher-pretrained", "true"], "give --teacher NAME"),
        (["--teacher", "resnet18", "--teacher-checkpoint", "nowhere.pth"], "no checkpoint at nowh"),
        (["--teacher", "resnet1", "--teacher-checkpoint", "x.pth"], "did you mean resnet"),
    ],
)
def test_flags_that_do_not_go_together(flags, message, commands, capsys):
    assert main(["score", *commands["score"], *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_teacher_that_nothing_asks_is_refused(commands, weights, capsys):
    idle = ["--guidance", "none", "--teacher", TIMM, "--teacher-checkpoint", weights]
    assert main(["distill", *commands["distill"], *idle]) == 2
    assert "nothing asks it" in capsys.readouterr().err


def test_weights_that_do_not_fit_are_one_line(commands, weights, capsys):
    named = ["--teacher", "resnet18", "--teacher-checkpoint", weights]
    assert main(["score", *commands["score"], *named]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(
        f"tvtfast: error: the weights in {weights} do not fit timm's resnet18 ("
    )
    assert "missing: conv1.weight" in error and "--teacher NAME --teacher-checkpoint PATH" in error
