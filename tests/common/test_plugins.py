"""What installed packages bring along by entry points, and modules that a command imports."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

import tvtfast
from tvtfast import proxies, spaces, strategies
from tvtfast.cli import main
from tvtfast.common.identity import Identity
from tvtfast.common.imports import ModuleImportError, import_words, imported, importing
from tvtfast.pipeline import reporting

TABLES = {
    "tvtfast.spaces.registry._spaces": spaces.PLUGINS,
    "tvtfast.proxies.base._proxies": proxies.PLUGINS,
    "tvtfast.strategies.base._strategies": strategies.PLUGINS,
}
GOOD = """
from tvtfast import proxies, spaces, strategies
halved = proxies.Proxy("halved", lambda inputs: inputs.params / 2)
small = spaces.AutoFormerSpace("small-vits", (16,), (11,), (2.0,), (2, 4))
def hill(space, budget):
    yield space.sample(budget.trials, budget.seed)
def steep(space, budget):
    yield space.sample(3, budget.seed)
strategies.register("steep", steep, trials=3)
"""
SCORE = ["--space", "autoformer-tiny", "--proxies", "params", "--device", "cpu"]


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[SimpleNamespace]:
    """A folder that packages are installed to; names known before are known again afterwards."""
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    for table, plugins in TABLES.items():
        home, _, name = table.rpartition(".")
        monkeypatch.setattr(table, dict(getattr(importlib.import_module(home), name)))
        monkeypatch.setattr(plugins, "_problems", {})
        monkeypatch.setattr(plugins, "_said", set())
        plugins.__dict__.pop("_found", None)
    traits = strategies.base._traits
    monkeypatch.setattr("tvtfast.strategies.base._traits", dict(traits))

    def install(
        package: str, source: str, groups: Mapping[str, Mapping[str, str]], version: str = "1.2"
    ) -> None:
        module = package.replace("-", "_")
        (folder / f"{module}.py").write_text(source)
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        lines = []
        for group, entries in groups.items():
            lines += [f"[tvtfast.{group}]"]
            lines += [f"{name} = {module}:{attr}" for name, attr in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        importlib.invalidate_caches()

    yield SimpleNamespace(install=install, folder=folder)
    for plugins in TABLES.values():
        plugins.__dict__.pop("_found", None)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_names_are_known_without_loading_and_loaded_when_asked_for(site):
    site.install(
        "good-pack",
        GOOD,
        {
            "proxies": {"halved": "halved"},
            "spaces": {"small-vits": "small"},
            "strategies": {"hill": "hill", "steep": "steep"},
        },
    )
    assert "halved" in proxies.available() and "small-vits" in spaces.available()
    assert {"hill", "steep"} <= set(strategies.available())
    assert "good_pack" not in sys.modules
    with pytest.raises(ValueError, match="halvd.*did you mean halved"):
        proxies.get("halvd")
    table = tvtfast.score(
        spaces.get("small-vits").sample(3, 0),
        space="small-vits",
        proxies=("halved",),
        img_size=16,
        patch_size=8,
    ).to_pandas()
    assert (table["halved"] == table["params"] / 2).all()
    assert proxies.get("halved") is sys.modules["good_pack"].halved
    assert strategies.traits("steep").trials == 3, "its module registered it"
    assert strategies.choose(spaces.get("pit"), "hill", None)[1] == strategies.TRIALS
    assert strategies.name_of(strategies.get("hill")) == "hill"
    with pytest.raises(ValueError, match=r"'halved' is registered already"):
        proxies.register(proxies.Proxy("halved", lambda inputs: 0.0))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('out of order')", r"RuntimeError: out of order"),
        ("import no_such_thing", r"ModuleNotFoundError: No module named 'no_such_thing'"),
        ("halved = 3", r"TypeError: it is 3, and no tvtfast.proxies.Proxy"),
        (
            "from tvtfast.proxies import Proxy\nhalved = Proxy('other', float)",
            "named 'other'; name the entry point like it",
        ),
    ],
)
def test_a_broken_package_is_named_and_breaks_no_other(site, source, why):
    site.install("bad-pack", source, {"proxies": {"halved": "halved"}})
    site.install("good-pack", GOOD, {"spaces": {"small-vits": "small"}})
    for _ in range(2):
        with pytest.raises(tvtfast.PluginError, match=rf"bad-pack 1.2 \(bad_pack:halved\).*{why}"):
            proxies.get("halved")
    assert "halved" not in proxies.available()
    assert spaces.get("small-vits").size > 1 and proxies.get("params").name == "params"


def test_a_broken_space_is_left_out_where_all_are_looked_at(site):
    site.install("bad-pack", "1 / 0", {"spaces": {"broken": "space"}})
    with pytest.warns(tvtfast.PluginWarning, match="'broken' of bad-pack 1.2.*ZeroDivisionError"):
        names = {space.name for space in spaces.all_spaces()}
    assert "pit" in names and "broken" not in names
    with pytest.raises(tvtfast.PluginError, match="bad-pack"):
        spaces.get("broken")


def test_names_of_tvtfast_stay_its_own(site):
    site.install("bold-pack", GOOD, {"proxies": {"params": "halved"}, "spaces": {"pit": "small"}})
    own = proxies.get("weight_norm")
    with pytest.warns(tvtfast.PluginWarning, match=r"'params' of bold-pack 1.2 .*tvtfast has one"):
        assert proxies.get("params").description == "parameter count"
    with pytest.warns(tvtfast.PluginWarning, match=r"'pit' of bold-pack"):
        assert isinstance(spaces.get("pit"), spaces.PiTSpace)
    assert proxies.get("weight_norm") is own and "bold_pack" not in sys.modules


def test_two_packages_of_one_name_are_refused_with_both_origins(site):
    site.install("first-pack", GOOD, {"proxies": {"halved": "halved"}})
    site.install("other-pack", GOOD, {"proxies": {"halved": "halved"}}, version="3.0")
    both = r"(?=.*first-pack 1.2 \(first_pack:halved\))(?=.*other-pack 3.0 \(other_pack:halved\))"
    with pytest.raises(tvtfast.PluginError, match=f"{both}.*uninstall one"):
        proxies.get("halved")
    assert "halved" not in proxies.available()


def test_a_name_of_a_package_is_taken(site):
    site.install("good-pack", GOOD, {"strategies": {"hill": "hill"}})
    with pytest.raises(ValueError, match=r"'hill' comes with good-pack 1.2 \(good_pack:hill\)"):
        strategies.register("hill", lambda space, budget: iter(()))
    import good_pack  # its own module may register what it brings, at any time

    strategies.register("hill", good_pack.hill, trials=7)
    assert strategies.traits("hill").trials == 7


def test_info_tells_what_is_brought_along(site, capsys):
    site.install("bad-pack", "1 / 0", {"spaces": {"broken": "space"}})
    site.install("good-pack", GOOD, {"proxies": {"halved": "halved"}})
    assert main(["info", "--json"]) == 0
    captured = capsys.readouterr()
    known = {one["name"]: one for one in json.loads(captured.out)["plugins"]}
    assert known["halved"] == {
        "name": "halved",
        "kind": "proxy",
        "package": "good-pack 1.2",
        "reason": "",
    }
    assert "ZeroDivisionError" in known["broken"]["reason"]
    assert "bad-pack 1.2" in captured.err
    assert main(["search", "--help"]) == 0
    assert "halved" in capsys.readouterr().out


def test_the_command_line_knows_what_a_file_registers(site, tmp_path, capsys, monkeypatch):
    own = tmp_path / "my_names.py"
    own.write_text(
        GOOD + "import my_factor\nproxies.register(halved)\nspaces.register(small)\n"
        "strategies.register('hill', hill)\n"
    )
    (tmp_path / "my_factor.py").write_text("FACTOR = 2\n")
    monkeypatch.chdir(tmp_path)
    path, command = list(sys.path), ["search", "--space", "small-vits", "--proxies", "halved"]
    command += ["--strategy", "hill", "--trials", "4", "--device", "cpu", "--quiet"]
    assert main(command) == 2
    assert "unknown space 'small-vits'" in capsys.readouterr().err
    assert main([*command, "--import", "my_names.py", "--output-dir", "found"]) == 0
    printed = capsys.readouterr().out
    assert "4 candidates of small-vits" in printed
    assert "--import my_names.py" in printed, "the next command knows the space, too"
    assert sys.path == path and imported() == {}
    record = json.loads((tmp_path / "found" / "run.json").read_text())
    digest = record["settings"]["imports"]["my_names"]
    assert len(digest) == 64
    with importing(["my_names"]):
        assert imported() == {"my_names": digest}
        assert Identity("search", {}).settings == {"imports": {"my_names": digest}}
        plan = SimpleNamespace(folder=tmp_path / "a run")
        student = SimpleNamespace(folder=tmp_path / "a run" / "student")
        commands = reporting._commands(plan, SimpleNamespace(student=student))
        assert len(commands) == 2
        assert all(text.endswith(" --import my_names") for text in commands.values())
    assert import_words() == []


def test_a_change_of_a_module_or_of_what_it_imports_is_another_run(site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digests = set()
    for number, helper in enumerate(("FACTOR = 2", "FACTOR = 3", "FACTOR = 3")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own_module.py").write_text("import own_helper\n")
        (folder / "own_helper.py").write_text(helper)
        monkeypatch.setattr("tvtfast.common.imports._digests", {})
        for name in ("own_module", "own_helper"):
            sys.modules.pop(name, None)
        with importing([str(folder / "own_module.py")]):
            digests.add(imported()["own_module"])
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("nowhere.py", "nowhere.py does not exist"),
        ("no_such_module", "no module 'no_such_module'"),
        ("json.py", "name of another module, 'json'.*rename the file"),
        ("failing.py", r"failing.py cannot be imported, line 2 \(ZeroDivisionError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(site, tmp_path, monkeypatch, given, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").touch()
    (tmp_path / "failing.py").write_text("\n1 / 0\n")
    path = list(sys.path)
    with pytest.raises(ModuleImportError, match=why), importing([given]):
        pass
    assert sys.path == path


def test_every_command_imports(capsys):
    from tvtfast.cli.main import COMMANDS

    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        assert "--import" in capsys.readouterr().out, command
    assert Path("no_such.py").exists() is False
    assert main(["score", "--import", "no_such.py", "--arch", "deit-tiny", *SCORE]) == 2
    assert "tvtfast: error: no_such.py does not exist" in capsys.readouterr().err
