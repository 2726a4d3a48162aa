"""The surface of every command: flags, help, output, and what is said where something is wrong."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from tvtfast.cli import main
from tvtfast.cli.main import COMMANDS, _complete
from tvtfast.cli.output import CLOSED, plain

PIT = ["--space", "pit", "--proxies", "params"]


def parser_of(name):
    return _complete(importlib.import_module(f"tvtfast.cli.{name}").parser(), name)


def error_of(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0].removeprefix("tvtfast: error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "unknown command 'serch'.*did you mean search"),
        (["--versoin"], "unknown option --versoin; did you mean --version"),
        (["search", "--tirals", "3"], "unknown option --tirals; did you mean --trials"),
        (["search", "stray"], "'stray' belongs to no option; 'tvtfast search --help' lists them"),
        (["search", "--trials", "abc"], "^--trials takes a whole number, got 'abc'$"),
        (["search", "--trials", "1.5"], "^--trials takes a whole number, got '1.5'$"),
        (["search", "--seed", "abc"], "^--seed takes a whole number, got 'abc'$"),
        (["search", "--distilled", "maybe"], "^--distilled takes true or false, got 'maybe'$"),
        (["search", "--param-limits", "x"], "^--param-limits takes a number, got 'x'$"),
        (["distill", "--pairs", "x"], r"^--pairs takes JSON such as \[\[1, 1\]\], got 'x'$"),
        (["search", "--trials"], "--trials: expected one argument"),
        (["search", "--trials", "0", *PIT], "^--trials is 0; give a whole number of at least 1$"),
        (["search", "--seed", "-1", *PIT], "^--seed is -1; give"),
        (["search", "--seed", str(2**64), *PIT], "^--seed is 18446744073709551616; give"),
        (["search", "--top-k", "0", *PIT], "^--top-k is 0; give"),
        (["search", "--batch-size", "0", *PIT], "^--batch-size is 0; give"),
        (["search", "--init-seeds", "0", *PIT], "^--init-seeds is 0; give"),
        (["search", "--method", "sum"], "unknown method 'sum'; known: minmax_sum"),
        (["score", "--method", "sum", "--arch", "{}"], "unknown method 'sum'"),
        (["search", "--strategy", "evo"], "did you mean evolution"),
        (["search", "--proxies", "teacher_awar"], "did you mean teacher_aware"),
        (["search", "--space", "autoformr"], "did you mean autoformer"),
        (["search", "--dtype", "float"], "^--dtype is 'float'; allowed: float32"),
        (["search", "--device", "cud"], "^--device is 'cud'; give cpu"),
        (["search", "--data-set", "cifar1000", *PIT], "did you mean cifar100"),
        (["search", "--img-size", "32", "--patch-size", "7"], "^--patch-size is 7, .*one of 1, 2"),
        (["search", "--patch-size", "7"], "^--patch-size is 7, .*32 x 32 pixels; give one of"),
        (["search", "--min-score-limits.speed", "3", *PIT], "unknown constraint 'speed'"),
        (["search", "--objectives", "accuracy", *PIT], "objectives are accuracy; give some of"),
        (["search", "--param-limits", "0.1", *PIT], "the space spans params"),
        (["search", "--output-dir", "file", *PIT], "^--output-dir is 'file', which is a file"),
        (["search", "--output-dir", "/proc/x", *PIT], "^--output-dir is .*nothing can be written"),
        (["grow", "--arch", "8,2,3|4,1,2|4,1,4|4,1,6|32", "--target-params", "-5"],
         "^--target-params is -5.0; give a number above 0$"),
        (["grow", "--arch", "8,2,3|4,1,2|4,1,4|4,1,6|32", "--stop-params", "-5"],
         "^--stop-params is -5.0"),
        (["teacher", "--epochs", "0"], "^--epochs is 0; give"),
        (["teacher", "--loading-workers", "-1"], "^--loading-workers is -1; give"),
        (["teacher", "--arch", "resnt18"], "unknown teacher 'resnt18'.*did you mean resnet18"),
        (["teacher", "--augmentation", "strng"], "^--augmentation is 'strng'.*did you mean strong"),
        (["distill", "--arch", "nowhere.json"], "is neither an existing file nor an"),
        (["distill", "--arch", "{}", "--guidance", "liner"], "did you mean linear"),
        (["supernet", "--sharing", "cycl", "--guidance", "attention"], "did you mean cyclic"),
        (["supernet", "--space", "vitas-dei", "--logits", "soft"], "did you mean vitas-deit"),
        (["supernet", "--epochs", "0", "--logits", "soft"], "^--epochs is 0; give"),
        (["supernet", "--sharing", "cycl"], "^--sharing is 'cycl'.*did you mean cyclic"),
        (["run", "--budget", "2"], "^--budget is 2 million parameters, and no architecture of "
         "'autoformer-tiny' has 1.5 to 2 million.*give one of .*pit"),
        (["run", "--budget", "-1"], "^--budget is -1000000.0; give a number above 0$"),
        (["run", "--trials", "0"], "^--trials is 0"),
        (["run", "--teacher-arch", "resnt18"], "did you mean resnet18"),
        (["export", "--student", "s", "--output", "x.foo"], "^--output is 'x.foo', and .foo is no"),
        (["export", "--student", "s", "--output", "/proc/x"], "^--output is .*nothing can be writ"),
        (["export", "--student", "s", "--output", "/proc/x.onnx"], "^--output is .*nothing can be"),
        (["predict", "--student", "s", "--images", "i", "--top", "0"], "^--top is 0; give"),
        (["predict", "--student", "s", "--images", "i", "--batch-size", "0"], "^--batch-size is 0"),
        (["predict", "--student", "s", "--images", "i", "--output", "."], "which is a folder; giv"),
        (["evaluate", "s", "--data-set", "digits", "--batch-size", "0"], "^--batch-size is 0"),
        (["evaluate", "s", "--data-set", "digits", "--dtype", "float8"], "^--dtype is 'float8'"),
        (["evaluate", "s", "--data-set", "digits", "--output-dir", "file"], "^--output-dir is 'fi"),
        (["correlate", "--truth", "t", "--resamples", "0"], "^--resamples is 0; give"),
        (["--print-completion", "fish"], "--print-completion takes bash, zsh, tcsh, got 'fish'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_before_any_work(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")

    def trained(*args, **settings):
        raise AssertionError("a teacher was made")

    monkeypatch.setattr("tvtfast.distill.digits_teacher", trained)
    monkeypatch.setattr("tvtfast.cli.training.digits_teacher", trained)
    found = error_of(arguments, capsys)
    assert re.search(message, found), found
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"trails: 3\n", "--cfg: unknown option 'trails'; did you mean trials?"),
        (b"trials: abc\n", "--trials takes a whole number, got 'abc'"),
        (b"trials: true\n", "--trials takes a whole number, got 'True'"),
        (b"\xff\xfe\xff", "cannot be read as a configuration"),
    ],
)
def test_a_bad_configuration_is_one_line(content, message, tmp_path, capsys):
    (tmp_path / "cfg.yaml").write_bytes(content)
    assert message in error_of(["search", "--cfg", str(tmp_path / "cfg.yaml")], capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_two_or_three_examples_that_parse(name):
    parser = parser_of(name)
    assert len(parser.examples) in (2, 3)
    for example in parser.examples:
        program, command, *arguments = shlex.split(example)
        assert (program, command) == ("tvtfast", name)
        parser.parse_args(arguments)
        assert example in parser.format_help()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_shows_the_flags_of_all(name, capsys):
    assert main([name, "-h"]) == 0
    out, err = capsys.readouterr()
    assert "--json" in out and "--quiet" in out and err == ""
    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_the_overview_fits_too(capsys):
    for arguments in ([], ["-h"], ["--help"]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert all(name in out for name in (*COMMANDS, "--version", "--print-completion"))
        assert [line for line in out.splitlines() if len(line) > 80] == []


def test_tables_fit_80_columns_and_results_alone_are_on_stdout(tmp_path, capsys):
    proxies = ["--proxies", "weight_norm", "params", "flops", "throughput", "throughput_spread"]
    run = ["--space", "autoformer-tiny", "--trials", "4", "--output-dir", str(tmp_path / "run")]
    assert main(["search", *run, *proxies[:2]]) == 0
    out, err = capsys.readouterr()
    places = ("architecture  ", "all scores  ", "report  ", "train it  ")
    assert [s for s in out.splitlines() if len(s) > 80 and not s.startswith(places)] == []
    assert out.startswith("best of 4 candidates") and "of 4 candidates" in err
    assert main(["score", "--arch", str(tmp_path / "run" / "best.json"), *proxies]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert "throughput_spread" in out and "no combined score" in err


def test_quiet_leaves_results_and_warnings(tmp_path, capsys):
    run = ["search", *PIT, "--strategy", "random", "--trials", "3", "--quiet"]
    assert main([*run, "--output-dir", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("best of 3 candidates") and err == ""
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert not {"json", "quiet"} & config.keys() and config["trials"] == 3


@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["search", "--help"], ["--version"]])
def test_a_closed_pipe_is_silent(arguments):
    program = subprocess.Popen(
        [sys.executable, "-c", "from tvtfast.__main__ import program; exit(program())", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    program.stdout.close()
    error = program.stderr.read()
    program.stderr.close()
    swallowed = arguments[-1] == "--help"  # by argparse, which then ends well
    assert error == b"" and program.wait() in ((0, CLOSED) if swallowed else (CLOSED,))


def test_a_closed_pipe_of_messages_is_silent_too():
    reader, writer = os.pipe()
    os.close(reader)
    code = "from tvtfast.__main__ import program; exit(program())"
    finished = subprocess.run([sys.executable, "-c", code, "serch"], stderr=writer, check=False)
    os.close(writer)
    assert finished.returncode == CLOSED


def test_a_broken_pipe_of_somebody_else_is_an_error(monkeypatch):
    def broken(cfg, parser):
        raise BrokenPipeError("a worker is gone")

    monkeypatch.setattr("tvtfast.cli.info.run", broken)
    with pytest.raises(BrokenPipeError, match="a worker is gone"):
        main(["info"])


def test_the_first_line_of_info_is_not_blank(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "versions"
    wide = [line for line in out.splitlines() if len(line) > 80]
    assert [line for line in wide if " " in line[27:]] == [], "what has no spaces may be long"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_flags_and_names(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    words = ("search", "distill", "predict")  # tcsh gets no flags of commands
    words += () if shell == "tcsh" else ("--trials", "--guidance", "teacher_aware", "nsga2")
    for word in words:
        assert word in script, word


def test_completion_that_bash_takes(tmp_path, capsys):
    pytest.importorskip("shtab")
    main(["--print-completion=bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    typed = f"source {tmp_path}/script; COMP_WORDS=(tvtfast search --tri); COMP_CWORD=2; "
    typed += "_shtab_tvtfast; echo ${COMPREPLY[@]}"
    found = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["--trials"], found.stderr


def test_completion_without_shtab_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    found = error_of(["--print-completion", "bash"], capsys)
    assert "pip install 'tvtfast[completion]'" in found


def test_json_has_no_nan():
    import numpy as np

    given = {"a": float("nan"), "b": [np.float32(1.5), float("inf")], 3: np.int64(2), "c": None}
    assert plain(given) == {"a": None, "b": [1.5, None], "3": 2, "c": None}
    json.dumps(plain(given), allow_nan=False)


def test_of_several_processes_the_first_speaks(tmp_path, monkeypatch, capsys):
    wrong = ["score", "--space", "nowhere", "--arch", "x"]
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("RANK", "0")
    assert main(wrong) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tvtfast: error:") and not (tmp_path / "error.json").exists()
    monkeypatch.setenv("RANK", "1")
    assert main(wrong) == 2
    assert capsys.readouterr().err == ""
    assert "neither an existing file" in (tmp_path / "error.json").read_text()
