"""The command line, as a user types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

import tvtfast
from tvtfast.cli import main
from tvtfast.models import CifarResNet

FAST = ["--batch-size", "3", "--patch-size", "16"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers") / "small"
    model = tvtfast.initialize_(CifarResNet(8, 10), seed=1)
    tvtfast.load_teacher(model, input_size=32).save(folder, dataset="digits", accuracy=10.0)
    return str(folder)


@pytest.fixture(scope="module")
def finished(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    arguments = ["--trials", "4", "--teacher", teacher, "--output-dir", str(folder), *FAST]
    assert main(["search", *arguments]) == 0
    return folder


def test_search_prints_a_summary_and_continues(finished, tmp_path, capsys):
    finished = shutil.copytree(finished, tmp_path / "run")
    again = ["--cfg", str(finished / "config.yaml"), "--output-dir", str(finished)]
    capsys.readouterr()
    assert main(["search", *again]) == 0
    out = capsys.readouterr().out
    assert "best of 4 candidates of autoformer-tiny" in out
    assert "every score was in the run folder already" in out
    assert str(finished / "report.html") in out
    assert main(["search", *again, "--trials", "5"]) == 0
    assert "1 candidates scored" in capsys.readouterr().out
    assert len(pd.read_csv(finished / "scores.csv")) == 5


def test_strategies_have_settings_and_objectives(tmp_path, capsys):
    arguments = ["--space", "pit", "--strategy", "nsga2", "--strategy-settings.population", "5"]
    goal = ["--proxies", "weight_norm", "--objectives", "weight_norm", "params", "--trials", "15"]
    assert main(["search", *arguments, *goal, "--output-dir", str(tmp_path), *FAST]) == 0
    out = capsys.readouterr().out
    assert "on the Pareto front of weight_norm, params" in out
    assert str(tmp_path / "front.json") in out
    assert pd.read_csv(tmp_path / "trace.csv")["evaluations"].tolist() == [5, 10, 15]
    assert main(["search", "--cfg", str(tmp_path / "config.yaml")]) == 0
    assert "every score was in the run folder already" in capsys.readouterr().out
    front = ["--space", "pit", "--arch", str(tmp_path / "front.json"), "--proxies", "params"]
    assert main(["score", *front, *FAST]) == 0


def test_configuration_is_kept_as_yaml(finished):
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["trials"] == 4 and config["param_limits"] == 7.0
    params = pd.read_csv(finished / "scores.csv")["params"]
    assert params.between(4e6, 7e6).all()


@pytest.mark.parametrize("name", tvtfast.spaces.available())
def test_architectures_of_every_space_are_printed(name, capsys):
    space = tvtfast.spaces.get(name)
    arch = space.encode(space.sample(1, seed=0)[0])
    assert main(["score", "--space", name, "--arch", arch, "--proxies", "params", *FAST]) == 0
    shown = capsys.readouterr().out
    params = space.params(arch, num_classes=10, img_size=32, patch_size=16)
    assert f"{params / 1e6:.2f} M" in shown
    assert all(f"{decision}=" in shown for decision in space.to_dict(space.decode(arch)))


def test_proxies_and_limits_suit_the_space(tmp_path):
    arguments = ["--space", "asvit", "--strategy", "reinforce", "--trials", "2", *FAST]
    assert main(["search", *arguments, "--output-dir", str(tmp_path)]) == 0
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert scores[["length_distortion", "ntk_condition"]].gt(0).all(axis=None)
    assert scores["params"].max() < 4e6
    assert "teacher_aware" not in scores


def test_score_reads_architectures_from_runs_text_and_lists(finished, teacher, tmp_path, capsys):
    best = json.loads((finished / "best.json").read_text())["arch"]
    archs = pd.read_csv(finished / "scores.csv")["arch"].tolist()
    (tmp_path / "list.json").write_text(json.dumps([json.loads(a) for a in archs]))
    capsys.readouterr()
    arguments = ["--teacher", teacher, "--output", str(tmp_path / "out.csv"), *FAST]
    given = [str(finished / "best.json"), json.dumps(best), str(tmp_path / "list.json")]
    assert main(["score", "--arch", *given, *arguments]) == 0
    rows = pd.read_csv(tmp_path / "out.csv")
    assert len(rows) == 2 + len(archs)
    assert rows["teacher_aware"][0] == rows["teacher_aware"][1]
    assert "minmax_sum" in capsys.readouterr().out


def test_score_takes_the_string_form_of_a_space(tmp_path, teacher):
    arguments = ["--space", "asvit", "--teacher", teacher, "--output", str(tmp_path / "out.csv")]
    given = ["8,2,3|4,1,2|4,1,4|4,1,6|32", "4,2,2,2|2,1,2,1|2,1,2,1|2,1,2,1|16,8"]
    assert main(["score", "--arch", *given, *arguments, *FAST]) == 0
    archs = pd.read_csv(tmp_path / "out.csv")["arch"]
    space = tvtfast.spaces.get("asvit")
    assert [str(space.decode(arch)) for arch in archs] == given


def test_correlate_prints_baselines_beside_the_proxy(tmp_path, teacher, capsys):
    space = tvtfast.spaces.get("autoformer-tiny")
    rows = [
        {"arch": space.to_dict(arch), "c100_kd_acc": 70.0 + index, "c100_base_acc": 60.0 - index}
        for index, arch in enumerate(space.sample(6, 0))
    ]
    (tmp_path / "truth.json").write_text(json.dumps({"autoformer": rows}))
    arguments = ["--truth", str(tmp_path / "truth.json"), "--output-dir", str(tmp_path / "out")]
    options = ["--teacher", teacher, "--resamples", "20", "--proxies", "teacher_aware", *FAST]
    assert main(["correlate", *arguments, *options]) == 0
    out = capsys.readouterr().out
    for word in (
        "Kendall tau-b",
        "Spearman",
        "Pearson",
        "params",
        "flops",
        "weight_norm",
        "kd_acc",
    ):
        assert word in out
    for word in ("given params, depth", "of possible", "top 10", "s per candidate", "depth"):
        assert word in out
    assert "no draw_tau of params, flops" in out and "one weight draw" in out
    frame = pd.read_csv(tmp_path / "out" / "correlations.csv")
    assert (frame["kind"] != "feature").sum() == 4 * 2
    assert len(frame) == (4 + len(space.features(space.sample(1)[0]))) * 2
    assert frame.query("proxy == 'params'")["tau"].tolist()[0] == pytest.approx(
        -frame.query("proxy == 'params'")["tau"].tolist()[1]
    )
    assert (tmp_path / "out" / "scatter.png").read_bytes().startswith(b"\x89PNG")


def test_info_tells_the_way_to_the_cuda_kernels():
    """Where there is a GPU and they were not built; elsewhere they are of no use."""
    from tvtfast.cli.info import _without_cuda

    assert "TVTFAST_CUDA=1 pip install ." in _without_cuda(("cpu", "cuda"))
    assert _without_cuda(("cpu",)) == "not installed"


def test_info_names_backends(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in (
        "torch",
        "attention_map_distance",
        "autoformer-tiny",
        "C++ extension",
        "not triton",
    ):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--space", "vit"], "unknown space 'vit'; known"),
        (["search", "--teacher", "nowhere/teacher"], "no teacher at nowhere/teacher"),
        (["search", "--data-set", "cifar100", "--data-path", "nowhere"], "cifar100 was not found"),
        (["search", "--param-limits", "1", "--min-param-limits", "0"], "the space spans params"),
        (
            ["search", "--strategy", "evolution", "--strategy-settings.size", "5"],
            "strategy 'evolution' has no setting size; it has population, parents",
        ),
        (["search", "--strategy", "exact"], "choose one alone, such as weight_norm"),
        (["score"], "name at least one architecture"),
        (["score", "--arch", "nowhere.json"], "is neither an existing file nor an arch"),
        (["fly"], "unknown command 'fly'; known: run, search, score"),
    ],
)
def test_bad_input_is_one_line(arguments, message, teacher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if len(arguments) > 1 and "--teacher" not in arguments:
        arguments = [*arguments, "--teacher", teacher]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    asked = message in ("the space spans params", "choose one alone, such as weight_norm")
    assert asked or not list(tmp_path.glob("runs/*/config.yaml")), "the search was not begun"


def test_a_data_set_without_teacher_says_what_to_give(tmp_path, capsys):
    import numpy as np

    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    labels = np.array([0, 1, 0, 1])
    np.savez(tmp_path / "mine.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    assert main(["search", "--data-set", str(tmp_path / "mine.npz"), "--img-size", "32"]) == 2
    assert "needs a teacher for mine; give --teacher" in capsys.readouterr().err


def test_help_and_version_need_no_torch():
    for arguments, expected in ((["--help"], "commands:"), (["--version"], "tvtfast ")):
        code = (
            f"import sys; from tvtfast.cli import main; main({arguments}); "
            "assert 'torch' not in sys.modules"
        )
        finished = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert expected in finished.stdout
