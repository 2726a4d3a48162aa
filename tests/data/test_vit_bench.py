"""ViT-Bench-101 ground truth."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tvtfast.data import load_vit_bench

AUTOFORMER = [
    {
        "arch": {"hidden_dim": 192, "mlp_ratio": [3.5] * depth, "depth": depth, "num_heads": [3]},
        "c100_base_acc": 68,
        "c100_kd_acc": 76.06,
    }
    for depth in (12, 13)
]
PIT = [
    {
        "arch": {"base_dim": 16, "mlp_ratio": 6, "depth": [2, 8, 4], "num_heads": [2, 4, 4]},
        "c100_kd_acc": 72.5,
    }
]


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("space", ["autoformer", "autoformer-tiny"])
def test_every_form_gives_the_same_table(tmp_path: Path, space: str) -> None:
    torch.save(AUTOFORMER, tmp_path / "gt_autoformer.pth")
    for path in (
        _json(tmp_path / "both.json", {"autoformer": AUTOFORMER, "pit": PIT}),
        _json(tmp_path / "rows.json", AUTOFORMER),
        tmp_path / "gt_autoformer.pth",
    ):
        table = load_vit_bench(path, space)
        assert list(table) == ["arch", "c100_base_acc", "c100_kd_acc"]
        assert table["arch"].tolist() == [row["arch"] for row in AUTOFORMER]
        assert table["c100_base_acc"].tolist() == [68.0, 68.0]
        assert (table.dtypes[1:] == "float64").all()


def test_pit(tmp_path: Path) -> None:
    table = load_vit_bench(
        _json(tmp_path / "gt.json", {"autoformer": AUTOFORMER, "pit": PIT}), "pit"
    )
    assert table["c100_kd_acc"].tolist() == [72.5]


def test_an_accuracy_that_is_missing(tmp_path: Path) -> None:
    table = load_vit_bench(_json(tmp_path / "gt.json", _changed(flower_kd_acc=50.0)), "autoformer")
    assert table["flower_kd_acc"].isna().tolist() == [True, False]
    assert table["flower_kd_acc"][1] == 50.0 and table["c100_kd_acc"].notna().all()


def test_real_file(shared_data: Path) -> None:
    path = shared_data / "vit_bench_101_dev.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    autoformer, pit = load_vit_bench(path, "autoformer"), load_vit_bench(path, "pit")
    assert (len(autoformer), len(pit)) == (100, 50)
    assert autoformer["c100_kd_acc"].agg(["min", "max"]).tolist() == [75.81, 78.54]
    assert "imagenet_super_acc" in autoformer
    assert "imagenet_super_acc" not in pit


class _RunsCode:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_malicious_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    torch.save([_RunsCode(target)], tmp_path / "archive.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps([_RunsCode(target)]))
    for name in ("archive.pth", "plain.pth"):
        with pytest.raises(ValueError, match="weights_only=True.*convert it once"):
            load_vit_bench(tmp_path / name, "autoformer")
    assert not target.exists()


def _changed(**changes: Any) -> list[dict[str, Any]]:
    return [AUTOFORMER[0], {**AUTOFORMER[1], **changes}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([AUTOFORMER[0], AUTOFORMER[0]], "row 1 is the same architecture as row 0"),
        (_changed(c100_kd_acc=float("nan")), "c100_kd_acc is nan; allowed is a number in 0..100"),
        (_changed(c100_kd_acc=float("inf")), "c100_kd_acc is inf"),
        (_changed(c100_kd_acc="76"), "c100_kd_acc is '76'"),
        (_changed(c100_kd_acc=100.5), "c100_kd_acc is 100.5"),
        (_changed(c100_kd_acc=True), "c100_kd_acc is True"),
        ([{"arch": AUTOFORMER[0]["arch"]}], "no column of accuracies"),
        (_changed(arch=None), "row 1 has no architecture under 'arch'"),
        ([{"c100_kd_acc": 76.0}], "row 0 has no architecture under 'arch'"),
        (_changed(arch="text"), "row 1: arch is of no use: it has the keys str"),
        (PIT, "is it another space's file"),
        ([], "holds no list of autoformer rows"),
        ({"pit": PIT}, "holds no list of autoformer rows"),
        (3, "holds no list of autoformer rows"),
    ],
)
def test_damaged_rows(tmp_path: Path, rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_vit_bench(_json(tmp_path / "gt.json", rows), "autoformer")


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="space='resnet' .*allowed: autoformer, autoformer-tiny"):
        load_vit_bench(tmp_path / "gt.json", "resnet")
    with pytest.raises(FileNotFoundError):
        load_vit_bench(tmp_path / "gt.json", "pit")
    with pytest.raises(FileNotFoundError):
        load_vit_bench(tmp_path / "gt.pth", "pit")
    (tmp_path / "gt.json").write_text("[{]")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        load_vit_bench(tmp_path / "gt.json", "pit")
