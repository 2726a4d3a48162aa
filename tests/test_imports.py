"""Who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import tvtfast
import tvtfast.kernels

PACKAGE = Path(tvtfast.__file__).parent
KERNELS = Path(tvtfast.kernels.__file__).parent

LEAVES = {"_torchvision", "common", "files", "hashing", "normalization", "machine"}
ALLOWED: dict[str, set[str]] = {
    "kernels": set(),
    "spaces": set(),
    "initialization": {"kernels"},
    "data": set(),
    "models": {"spaces", "initialization", "kernels"},
    "population": {"spaces", "models", "initialization", "kernels"},
    "proxies": {"models", "kernels"},
    "limits": set(),
    "store": set(),
    "racing": set(),
    "score_table": {"limits", "racing", "store"},
    "ranking": {"score_table"},
    "candidates": {"models", "spaces"},
    "evaluation": {"candidates", "data", "models"},
    "failures": {"models", "proxies", "store"},
    "ledger": {"candidates", "proxies", "store"},
    "joint_scoring": {
        "candidates",
        "evaluation",
        "failures",
        "ledger",
        "models",
        "population",
        "proxies",
        "spaces",
        "store",
    },
    "joint_racing": {
        "joint_scoring",
        "ledger",
        "models",
        "proxies",
        "racing",
        "ranking",
        "spaces",
        "store",
    },
    "tabulating": {"ledger", "limits", "proxies", "racing", "ranking", "score_table", "store"},
    "evaluator": {
        "candidates",
        "evaluation",
        "failures",
        "joint_scoring",
        "ledger",
        "proxies",
        "store",
    },
    "scoring": {
        "candidates",
        "data",
        "evaluation",
        "evaluator",
        "failures",
        "joint_racing",
        "joint_scoring",
        "ledger",
        "limits",
        "models",
        "proxies",
        "racing",
        "ranking",
        "score_table",
        "spaces",
        "store",
        "tabulating",
    },
    "strategies": {"spaces"},
    "search_result": {"score_table", "spaces"},
    "objectives": {"proxies", "score_table"},
    "archive": {"ranking", "score_table", "spaces", "strategies"},
    "report": set(),
    "reporting": {
        "data",
        "models",
        "racing",
        "report",
        "score_table",
        "scoring",
        "search_result",
    },
    "searching": {
        "archive",
        "limits",
        "objectives",
        "proxies",
        "ranking",
        "reporting",
        "score_table",
        "scoring",
        "search_result",
        "spaces",
        "store",
        "strategies",
    },
    "growth": set(),
    "growing": {"growth", "proxies", "report", "scoring", "spaces", "store"},
    "exporting": {"models"},
    "predicting": {"data", "models"},
    "distill": {"data", "initialization", "kernels", "models", "spaces"},
    "pipeline": {
        "data",
        "distill",
        "exporting",
        "models",
        "report",
        "reporting",
        "searching",
        "spaces",
        "store",
    },
    "supernet": {"data", "distill", "initialization", "models", "proxies", "spaces"},
}
FRONT_DOORS = {"__init__", "__main__", "cli"}
FOREIGN = {
    "spaces": {"torch", "timm"},
    "strategies": {"torch", "timm"},
    "archive": {"torch", "timm"},
    "growth": {"torch", "timm"},
    "growing": {"torch", "timm"},
    "searching": {"torch", "timm"},
    "store": {"torch", "timm"},
    "racing": {"torch", "timm"},
    "report": {"torch", "timm"},
    "kernels": {"timm", "torchvision"},
}


def sources():
    for root, inside in ((PACKAGE, ""), (KERNELS, "kernels")):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if not inside and parts[0] == "kernels":
                continue
            yield inside or parts[0], path


def imported(path):
    """Names after ``import`` and ``from``, wherever they stand; relative ones stay in the room."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module == "tvtfast":
                yield from (f"tvtfast.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def test_rooms_import_only_what_the_table_allows():
    wrong = []
    rooms = set()
    for room, path in sources():
        rooms.add(room)
        if room in FRONT_DOORS:
            continue
        for name in imported(path):
            top, *rest = name.split(".")
            if top != "tvtfast":
                if top in FOREIGN.get(room, ()):
                    wrong.append(f"{path.name} ({room}) imports {name}")
                continue
            target = rest[0] if rest else ""
            native = room == "kernels" and target in ("_C", "_cuda")
            if target not in {room, *LEAVES, *ALLOWED.get(room, ())} and not native:
                wrong.append(f"{path.name} ({room}) imports {name}")
    assert not wrong
    assert rooms == ALLOWED.keys() | LEAVES | FRONT_DOORS


def test_the_table_has_no_circle():
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        ready = {room for room, needs in ALLOWED.items() if room not in done and needs <= done}
        assert ready, f"circle among {sorted(set(ALLOWED) - done)}"
        done |= ready


def run(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, **options
    )


def test_importing_the_package_is_free():
    code = (
        "import sys, tvtfast; heavy = {'torch', 'numpy', 'pandas', 'timm', 'matplotlib'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    finished = run(code)
    assert finished.returncode == 0, finished.stderr


def test_every_public_name_resolves():
    for name in tvtfast.__all__:
        assert getattr(tvtfast, name) is not None, name
    with pytest.raises(AttributeError, match="has no attribute 'serch'"):
        _ = tvtfast.serch


def test_searching_draws_in_no_driver():
    code = (
        "import torch, tvtfast; tvtfast.search, tvtfast.score; "
        "assert not torch.cuda.is_initialized()"
    )
    finished = run(code)
    assert finished.returncode == 0, finished.stderr


def test_a_source_checkout_is_importable_without_editable_install(tmp_path):
    """``python`` started in the repository after ``pip install .`` must find the operators."""
    checkout = PACKAGE.parent
    if not (checkout / "csrc").is_dir():
        checkout = next(
            (p for p in Path(__file__).resolve().parents if (p / "csrc" / "bindings.cpp").exists()),
            None,
        )
    if checkout is None:
        pytest.skip("the tests do not lie in a source checkout")
    code = "import tvtfast.kernels as k; print(k.__file__); k.attention_map; import tvtfast.data"
    plain = (
        "import sys; "
        "sys.meta_path = [f for f in sys.meta_path if '__editable__' not in f.__module__]; "
    )
    isolated = run(plain + code, cwd=checkout)
    assert isolated.returncode == 0, isolated.stderr
    assert isolated.stdout.strip() == str(checkout / "kernels" / "__init__.py")


def test_no_top_level_kernels_is_installed():
    """A package of the index has that name; ours lives inside tvtfast."""
    spec = importlib.util.find_spec("kernels")
    assert spec is None or spec.origin is None or Path(spec.origin).parent == KERNELS
