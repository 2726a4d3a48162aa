"""What the README says was measured is what was measured."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not (ROOT / "bench").is_dir():
        pytest.skip("the source tree is not here")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("bench.readme")


def test_table_is_that_of_the_results(readme: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme.replaced(text, readme.measured()), "run python -m bench.readme"


def test_losses_and_skipped_cases(readme: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "operators-cpu.md").write_text(
        "# Results\n\nexplained\n\na machine\n\n"
        "| operator | shape | baselines, ms | ours, ms | GB/s | best baseline / ours |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| a | 1x2 | eager form 2.0, .norm() loop 0.5 | 1.0 |  | 0.50 |\n"
        "| b | huge | skipped: no memory |  |  |  |\n",
        encoding="utf-8",
    )
    assert readme.measured(tmp_path) == (
        "a machine:\n\n"
        "| operator | shape | best baseline, ms | ours, ms | best baseline / ours |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| a | 1x2 | .norm() loop 0.5 | 1.0 | 0.50 |\n\n"
        "All figures: [bench/results/operators-cpu.md](bench/results/operators-cpu.md)."
    )


def test_markers_must_be_there(readme: ModuleType) -> None:
    with pytest.raises(ValueError, match="measured: begin"):
        readme.replaced("# tvtfast\n", "table")
