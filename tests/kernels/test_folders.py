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
FILES = {
    "__init__.py": '''"""Twice a tensor."""

from torch import Tensor

from ..calls import execute
from .definition import Arguments

__all__ = ["twice"]


def twice(x: Tensor, *, backend: str | None = None) -> Tensor:
    """``2 x``."""
    return execute("twice", Arguments(x), backend, x)
''',
    "definition.py": '''"""The definition of twice."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator, exact


class Arguments(NamedTuple):
    """Any tensor."""

    x: Tensor


def fake(call: Arguments) -> Tensor:
    return torch.empty_like(call.x)


def traffic(call: Arguments) -> int:
    return 2 * call.x.nbytes


def flops(call: Arguments) -> int:
    return call.x.numel()


def example(device: Device = "cpu") -> Arguments:
    return Arguments(torch.ones(3, 4, device=device))


OPERATORS = (
    Operator(
        name="twice",
        arguments=Arguments,
        returns="Tensor",
        backends=("native", "reference"),
        tolerance=exact,
        traffic=traffic,
        flops=flops,
        example=example,
        fake=fake,
    ),
)
''',
    "reference.py": '''"""Twice a tensor in plain PyTorch."""

from torch import Tensor

from .definition import Arguments


def run(call: Arguments) -> Tensor:
    return call.x + call.x
''',
    "native.py": '''"""Twice a tensor, in fp32."""

from torch import Tensor

from ..backend.native import tensor_reasons
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    return tensor_reasons("x", call.x)


def run(call: Arguments) -> Tensor:
    return 2 * call.x
''',
}
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


def test_a_folder_from_outside_is_an_operator(tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-c", CODE, str(folder)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_no_central_file_names_an_operator() -> None:
    home = Path(registry.__file__).parent
    operators = {path.name for path in registry.folders()} - {*HELPERS} | set(OPERATORS)
    central = list(home.glob("*.py"))
    central += [path for helper in HELPERS for path in (home / helper).glob("*.py")]
    central += [path for path in (ROOT / "bench/cases/__init__.py",) if path.exists()]
    pattern = re.compile(rf"\b({'|'.join(sorted(operators))})\b")
    named = {str(path): found for path in central if (found := pattern.findall(path.read_text()))}
    assert not named


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
