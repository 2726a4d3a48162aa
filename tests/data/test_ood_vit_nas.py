"""Files of OoD-ViT-NAS as truth."""

from __future__ import annotations

import copy
import json

import pytest

import tvtfast
from tvtfast.cli import main
from tvtfast.common.foreign import BadFileError

SPACE = tvtfast.spaces.get("autoformer-original-tiny")


def entry(arch, index):
    results = {
        "clean": 75.0 + index,
        "corruption": {"Gaussian Noise": {"1": 65.0 - index}},
        "sketch": 20.0,
    }
    setting = {
        "layer_num": arch.depth,
        "mlp_ratio": list(arch.mlp_ratio),
        "num_heads": list(arch.num_heads),
        "embed_dim": [arch.hidden_dim] * arch.depth,
    }
    return {
        "net_setting": setting,
        "performance": {"Imagenet": results},
        "params": SPACE.params(arch, num_classes=1000) / 1e6,
        "flops": 1.0,
    }


@pytest.fixture
def content():
    return {str(i): entry(arch, i) for i, arch in enumerate(SPACE.sample(6, 0))}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "OoD-ViT-NAS-Tiny.json"


def test_its_parameter_counts_are_those_of_the_space():
    """6.776776 million is what the authors give for their first architecture of the tiny space."""
    arch = {
        "hidden_dim": 192,
        "depth": 14,
        "mlp_ratio": [4, 3.5, 3.5, 3.5, 4, 3.5, 4, 4, 3.5, 4, 3.5, 3.5, 3.5, 3.5],
        "num_heads": [3, 4, 3, 3, 4, 4, 3, 4, 4, 3, 4, 3, 4, 4],
    }
    assert SPACE.params(arch, num_classes=1000) == 6_776_776


def test_rows_and_columns(content, path):
    path.write_text(json.dumps(content))
    truth = tvtfast.load_truth(path)
    assert truth.space is SPACE and list(truth.archs) == SPACE.sample(6, 0)
    columns = ["clean", "corruption/Gaussian Noise/1", "sketch"]
    assert list(truth.frame) == ["arch", *columns]
    assert truth.frame["clean"].tolist() == [75.0, 76.0, 77.0, 78.0, 79.0, 80.0]
    assert truth.frame[columns[1]].tolist() == [65.0, 64.0, 63.0, 62.0, 61.0, 60.0]
    assert truth.stated["num_classes"] == 1000 and truth.stated["img_size"] == 224


@pytest.mark.slow
def test_correlate_takes_the_file(content, path, tmp_path, capsys):
    path.write_text(json.dumps(content))
    flags = ["--proxies", "params", "--columns", "clean", "--resamples", "5"]
    assert main(["correlate", "--truth", str(path), *flags, "--output-dir", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "clean, 6 architectures" in told.out and "--num-classes 1000" in told.err


def damaged(content, change):
    changed = copy.deepcopy(content)
    change(changed["3"])
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.pop("net_setting"), "architecture 3 lacks net_setting"),
        (lambda one: one["net_setting"].pop("embed_dim"), "architecture 3 lacks net_setting with"),
        (lambda one: one.update(performance=75.0), "architecture 3 lacks performance"),
        (lambda one: one["net_setting"].update(embed_dim=[192, 240]), "one width, the same for"),
        (lambda one: one["net_setting"].update(layer_num="x"), "3 has 'x' layers"),
        (
            lambda one: one["net_setting"].update(
                embed_dim=[200] * one["net_setting"]["layer_num"]
            ),
            "architecture 3 has the width 200; the supernets have 192, 216",
        ),
        (lambda one: one["net_setting"].update(num_heads=[3]), "num_heads"),
    ],
)
def test_what_is_damaged_is_named(content, path, change, message):
    path.write_text(json.dumps(damaged(content, change)))
    with pytest.raises(BadFileError, match=message):
        tvtfast.load_truth(path)


def test_sizes_of_images_are_no_truth(tmp_path):
    """They would be the only columns of numbers beside the one that is meant."""
    space = tvtfast.spaces.get("pit")
    rows = [
        {"arch": space.to_dict(a), "img_size": 64, "score": i}
        for i, a in enumerate(space.sample(3))
    ]
    (tmp_path / "truth.json").write_text(json.dumps(rows))
    assert list(tvtfast.load_truth(tmp_path / "truth.json", space).frame) == ["arch", "score"]
