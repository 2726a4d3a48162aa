"""Fixtures and switches shared by every test."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    # Workers and the programs they start share the cores; torch reads this as it is loaded. Two at
    # least, since tests of threads need some.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(2, (os.cpu_count() or 1) // WORKERS)))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["TVTFAST_STRICT"] = "1"  # every fallback is an error here

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import tvtfast  # noqa: E402
from tvtfast.common import board  # noqa: E402
from tvtfast.common.torchvision import ensure_torchvision  # noqa: E402

ensure_torchvision()
board.PERIOD = 3600.0  # what a folder holds does not depend on how long a test takes

MOST_WORKERS = 4
INTERPRETED = Path(__file__).parent / "triton"


def pytest_configure(config: pytest.Config) -> None:
    """``pytest tests/triton`` interprets: nothing else is asked of this process."""
    given = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    if given and all(path == INTERPRETED or INTERPRETED in path.parents for path in given):
        os.environ["TRITON_INTERPRET"] = "1"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """None for a chosen file or test, where output and debugger should be at hand."""
    given = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    if given:
        return int(given)
    chosen = any(".py" in argument for argument in config.args)
    if chosen or config.option.keyword or config.option.capture == "no":
        return 0
    return min(os.cpu_count() or 1, MOST_WORKERS)


def _find_shared_data() -> Path | None:
    given = os.environ.get("TVTFAST_TEST_DATA")
    if given:
        return Path(given)
    for start in (Path(__file__).resolve(), Path.cwd()):
        for folder in start.parents:
            if (folder / "shared" / "data" / "README.md").is_file():
                return folder / "shared" / "data"
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real images, trained teachers and ground truth."""
    folder = _find_shared_data()
    if folder is None or not folder.is_dir():
        pytest.skip("no real data: set TVTFAST_TEST_DATA to the folder of data files")
    return folder


@pytest.fixture(scope="module")
def teacher() -> Any:
    """A ConvNet that was not trained, the same on every machine."""
    module = tvtfast.initialize_(tvtfast.models.CifarResNet(8, 10), seed=1)
    return tvtfast.load_teacher(module, input_size=32)


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that a test registers are unknown again afterwards."""
    homes = (
        (tvtfast.spaces.registry, "_spaces"),
        (tvtfast.proxies.base, "_proxies"),
        (tvtfast.strategies.base, "_strategies"),
        (tvtfast.strategies.base, "_traits"),
        (tvtfast.models.registry, "_models"),
    )
    for home, name in homes:
        monkeypatch.setattr(home, name, dict(getattr(home, name)))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The bits of a sum depend on the number of threads that share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _load_program(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tvtfast_test_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_program() -> Callable[[Path], ModuleType]:
    """A program that lies beside the tests as a module; its path is ``__file__``."""
    return _load_program


@pytest.fixture(scope="session")
def fuzzing(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``mutations`` of files, and ``survey``, which gives them to a loader."""
    return load_program(Path(__file__).with_name("fuzzing.py"))


@pytest.fixture(scope="session")
def simulated(load_program: Callable[[Path], ModuleType]) -> Any:
    """An executor without processes: ``simulated(workers, seed, deaths)``."""
    return load_program(Path(__file__).with_name("simulated.py")).Simulated


@pytest.fixture(scope="session")
def together(load_program: Callable[[Path], ModuleType]) -> Any:
    """``simulated``, whose workers are all ready when they are asked."""
    return load_program(Path(__file__).with_name("simulated.py")).Together


def _start_program(
    program: ModuleType, *arguments: str | Path, launcher: Sequence[str] = ()
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *launcher, str(program.__file__), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="session")
def start_program() -> Callable[..., subprocess.Popen[str]]:
    """Start such a program in a process of its own, with one thread."""
    return _start_program


def _kill_once(
    process: subprocess.Popen[Any], reached: Callable[[], bool], *, delay: float = 0.0
) -> None:
    deadline = time.monotonic() + 300
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    late = time.monotonic() >= deadline
    time.sleep(delay)
    process.kill()
    output, _ = process.communicate()
    assert not late, f"it did not come far enough: {output}"
    assert process.returncode == -signal.SIGKILL, f"it ended before it was killed: {output}"


@pytest.fixture(scope="session")
def kill_once() -> Callable[..., None]:
    """``kill -9`` for a process, ``delay`` seconds after ``reached()`` is true."""
    return _kill_once


@pytest.fixture(scope="session")
def last_weights() -> Callable[[Path], dict[str, Tensor]]:
    """Weights after the last epoch of the training in a folder."""
    return lambda folder: torch.load(folder / "last.pt", weights_only=True)["objective"]


def _assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], None]:
    """Two sets of weights have the same names and the same bits."""
    return _assert_same


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield driver
    driver.quit()
