"""One folder is one operator: nothing central names any, and a folder from outside is enough."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tvtfast import kernels
from tvtfast.kernels import registry, stub
from tvtfast.kernels.dispatch import IMPLEMENTATIONS, OPERATORS

ROOT = Path(__file__).parents[2]
HELPERS = ("backend", "features", "tiles")
PAGE = ROOT / "docs" / "extending.md"
OTHER_MEANINGS = {
    "distillation.py": {"linear"},
    "host.py": {"attention_block", "linear", "mlp_block", "packed_attention"},
    "population.py": {"attention_map", "attention_map_distance"},
    "racing.py": {"attention_map", "attention_map_distance"},
}
"""Words of benchmarks of whole runs that are operators elsewhere: a kind of guidance, methods of
features, and what a population calls, for which stand-ins are put."""
CODE = """
import sys, torch
from tvtfast import kernels
assert "torch.utils.flop_counter" not in sys.modules and "triton" not in sys.modules
assert kernels.register(sys.argv[1]) == ("twice",)
x = torch.randn(3, 4)
for backend in ("native", "reference"):
    assert torch.equal(kernels.twice(x, backend=backend), 2 * x)
    torch.library.opcheck(torch.ops.tvtfast.twice, (x,), {"backend": backend})
(explained,) = kernels.explain("twice")
assert explained.backend == "native"
try:
    kernels.twice(x.double(), backend="native")
except kernels.BackendError as error:
    assert "x is float64" in str(error)
from torch.utils.flop_counter import FlopCounterMode
with FlopCounterMode(display=False) as counter:
    kernels.twice(x)
assert counter.get_total_flops() == 12
try:
    kernels.register(sys.argv[1])
except ValueError as error:
    assert "twice already" in str(error)
else:
    raise AssertionError
"""


def test_the_page_makes_an_operator(tmp_path: Path) -> None:
    """The files of the section «An operator», as they stand there, registered from outside."""
    if not PAGE.exists():
        pytest.skip(f"{PAGE} does not lie beside the tests")
    files = re.findall(r"`twice/(\w+\.py)`:\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert {name for name, _ in files} >= {"__init__.py", "definition.py", "reference.py"}
    folder = tmp_path / "twice"
    folder.mkdir()
    for name, text in files:
        (folder / name).write_text(text)
    command = [sys.executable, "-c", CODE, str(folder)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_no_central_file_names_an_operator() -> None:
    home = Path(registry.__file__).parent
    operators = {path.name for path in registry.folders()} - {*HELPERS} | set(OPERATORS)
    central = list(home.glob("*.py"))
    central += [path for helper in HELPERS for path in (home / helper).glob("*.py")]
    central += [*(ROOT / "bench").glob("*.py"), *(ROOT / "bench").glob("*/__init__.py")]
    pattern = re.compile(rf"\b({'|'.join(sorted(operators))})\b")
    found = {path: set(pattern.findall(path.read_text())) for path in central}
    named = {str(path): some for path, names in found.items() if (some := _operators(path, names))}
    assert not named


def _operators(path: Path, names: set[str]) -> set[str]:
    return names - OTHER_MEANINGS.get(path.name, set()) if path.parent.name == "bench" else names


@pytest.mark.parametrize("operator", OPERATORS)
def test_backends_are_the_files_of_the_folder(operator: str) -> None:
    folder = next(
        path for path in registry.folders() if f".{path.name}.{operator}." in f".{_home(operator)}."
    )
    files = {path.stem for path in folder.glob("*.py")} & set(kernels.backends())
    assert files == {entry.backend for entry in IMPLEMENTATIONS[operator]}
    assert IMPLEMENTATIONS[operator][-1].backend == "reference"


def _home(operator: str) -> str:
    return f"{OPERATORS[operator].arguments.__module__.split('.')[-2]}.{operator}"


def test_the_stub_is_current() -> None:
    assert stub.PATH.read_text() == stub.text(), "run: python -m tvtfast.kernels.stub"


@pytest.mark.parametrize("operator", OPERATORS)
def test_operations_are_counted(operator: str) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    call = OPERATORS[operator].example()
    with FlopCounterMode(display=False) as counter:
        getattr(torch.ops.tvtfast, operator)(*call, backend="reference")
    assert counter.get_total_flops() == OPERATORS[operator].flops(call)
