"""Who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import tvtfast
import tvtfast.kernels

PACKAGE = Path(tvtfast.__file__).parent
KERNELS = Path(tvtfast.kernels.__file__).resolve().parent

ALLOWED: dict[str, set[str]] = {
    "common": set(),
    "kernels": set(),
    "spaces": {"common"},
    "initialization": {"kernels"},
    "data": {"common"},
    "models": {"common", "initialization", "kernels", "spaces"},
    "population": {"common", "initialization", "kernels", "models", "spaces"},
    "proxies": {"common", "kernels", "models"},
    "scoring": {
        "common",
        "data",
        "initialization",
        "kernels",
        "models",
        "population",
        "proxies",
        "spaces",
    },
    "strategies": {"common", "spaces"},
    "report": {"common"},
    "searching": {
        "common",
        "data",
        "models",
        "proxies",
        "report",
        "scoring",
        "spaces",
        "strategies",
    },
    "growing": {"common", "proxies", "report", "scoring", "spaces"},
    "training": {"common", "data", "initialization", "models", "report"},
    "distill": {"common", "data", "initialization", "models", "spaces", "training"},
    "supernet": {"common", "data", "initialization", "models", "proxies", "spaces", "training"},
    "students": {"common", "data", "models", "spaces", "training"},
    "runs": {"common", "scoring"},
    "pipeline": {
        "common",
        "data",
        "distill",
        "growing",
        "models",
        "proxies",
        "report",
        "scoring",
        "searching",
        "spaces",
        "strategies",
        "students",
        "supernet",
        "training",
    },
}
"""Who may import whom, in the order data flows."""
FRONT_DOORS = {"__init__", "__main__", "cli"}
ADAPTERS = "adapters"
"""The room that is made of public names alone, see the tests of it."""
LOOSE = {"__init__", "__main__", "initialization"}
"""Modules beside the rooms; there is room for six."""
FOREIGN = {
    "common": {"timm"},
    "spaces": {"torch", "timm"},
    "strategies": {"torch", "timm"},
    "searching": {"torch", "timm"},
    "growing": {"torch", "timm"},
    "scoring": {"timm"},
    "report": {"torch", "timm"},
    "runs": {"torch", "timm"},
    "kernels": {"timm", "torchvision"},
}
"""What a room imports nowhere."""


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
        if room in {*FRONT_DOORS, ADAPTERS}:
            continue
        for name in imported(path):
            top, *rest = name.split(".")
            if top != "tvtfast":
                if top in FOREIGN.get(room, ()):
                    wrong.append(f"{path.name} ({room}) imports {name}")
                continue
            target = rest[0] if rest else ""
            native = room == "kernels" and target in ("_C", "_cuda")
            if target not in {room, *ALLOWED.get(room, ())} and not native:
                wrong.append(f"{path.name} ({room}) imports {name}")
    assert not wrong
    assert rooms == ALLOWED.keys() | FRONT_DOORS | {ADAPTERS}


def adapters():
    return sorted((PACKAGE / ADAPTERS).glob("*.py"))


def is_public(name):
    """Whether the package or one of its rooms exports a name; ``common`` exports all it has."""
    top, room, *rest = [*name.split("."), ""]
    if top != "tvtfast" or room in {"", "common"}:
        return True
    if room not in ALLOWED:
        return room in tvtfast.__all__
    return rest[0] in {"", *importlib.import_module(f"tvtfast.{room}").__all__}


def test_adapters_are_small_and_made_of_public_names():
    wrong = []
    for path in adapters():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 100:
            wrong.append(f"{path.name} has more than 100 lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.level:
                wrong.append(f"{path.name} imports another adapter")
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                wrong += [f"{path.name} imports {name}" for name in names if not is_public(name)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                wrong += [f"{path.name} imports {name}" for name in names if not is_public(name)]
    assert not wrong


def test_hosts_of_adapters_are_imported_inside_functions():
    at_hand = {*sys.stdlib_module_names, "numpy", "torch", "tvtfast"}
    wrong = []
    for path in adapters():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            wrong += [
                f"{path.name} imports {name} at its top"
                for name in names
                if name.split(".")[0] not in at_hand
            ]
    assert not wrong


def test_nobody_imports_an_adapter():
    wrong = [
        f"{path.name} ({room}) imports {name}"
        for room, path in sources()
        if room != ADAPTERS
        for name in imported(path)
        if name.startswith(f"tvtfast.{ADAPTERS}")
    ]
    assert not wrong


def test_little_lies_beside_the_rooms():
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == LOOSE and len(loose) <= 6


def test_every_allowed_import_is_made():
    """The table says what is, not what was."""
    made: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for room, path in sources():
        for name in imported(path):
            parts = name.split(".")
            if room in ALLOWED and parts[0] == "tvtfast" and len(parts) > 1:
                made[room].add(parts[1])
    unused = {
        room: needs - made[room] for room, needs in ALLOWED.items() if needs - made[room] - {room}
    }
    assert not unused


def test_common_needs_no_torch_until_it_is_asked(tmp_path):
    code = "; ".join(
        f"import tvtfast.common.{path.stem}" for path in (PACKAGE / "common").glob("[a-z]*.py")
    )
    finished = run(f"{code}; import sys; assert 'torch' not in sys.modules", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr


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
        "import sys, torch, tvtfast; tvtfast.search, tvtfast.score; "
        "assert not torch.cuda.is_initialized() and 'ray' not in sys.modules"
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
    assert Path(isolated.stdout.strip()).resolve() == checkout / "kernels" / "__init__.py"


def test_no_top_level_kernels_is_installed():
    """A package of the index has that name; ours lives inside tvtfast."""
    spec = importlib.util.find_spec("kernels")
    assert spec is None or spec.origin is None or Path(spec.origin).resolve().parent == KERNELS
