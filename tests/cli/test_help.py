"""What a command costs before it does anything, and what its help promises."""

from __future__ import annotations

import importlib
import subprocess
import sys
from argparse import Namespace

import pytest

from tvtfast import proxies, spaces
from tvtfast.cli import choices
from tvtfast.cli.main import COMMANDS
from tvtfast.cli.options import choose_proxies
from tvtfast.models import RENAME_MAPS
from tvtfast.scoring import default_proxies
from tvtfast.scoring.inputs import DTYPES
from tvtfast.scoring.ranking import METHODS
from tvtfast.scoring.settings import PROTOCOLS
from tvtfast.training import recipe

LIGHT = ("search", "score", "predict", "evaluate", "export", "convert", "correlate", "info")


def test_proxies_of_a_space_are_those_of_its_scores():
    for space in spaces.available():
        cfg = Namespace(proxies=[], space=space)
        choose_proxies(cfg)
        own = ["length_distortion", "ntk_condition"] if space == "asvit" else default_proxies(space)
        assert cfg.proxies == list(own), space


def test_a_data_set_is_named_alike_by_every_command():
    found = {}
    for name in COMMANDS:
        actions = importlib.import_module(f"tvtfast.cli.{name}").parser()._actions
        for action in actions:
            if "--data-set" in action.option_strings:
                found[name] = action.option_strings
    assert {"run", "search", "score", "distill", "evaluate"} <= found.keys()
    assert set(map(tuple, found.values())) == {("--data-set", "--dataset")}


def test_help_lists_what_there_is():
    assert proxies.available() == choices.PROXIES
    assert tuple(proxies.GROUPS) == choices.PROXY_GROUPS
    assert tuple(METHODS) == choices.METHODS
    assert tuple(DTYPES) == choices.DTYPES
    assert choices.PROTOCOLS == PROTOCOLS
    assert tuple(RENAME_MAPS) == choices.CODE_BASES
    assert tuple(recipe.DTYPES) == choices.TRAINING_DTYPES


@pytest.mark.parametrize("command", ["", *LIGHT])
def test_help_needs_no_torch(command):
    code = (
        "import sys; from tvtfast.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'timm', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    arguments = [command, "--help"] if command else ["--help"]
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "usage: tvtfast" in finished.stdout
