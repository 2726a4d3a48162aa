"""What each dependency weighs: ``python -m bench.dependencies > bench/results/dependencies.md``.

Sizes are those of the files that the package installed, without its own dependencies. Times are
processor seconds of a fresh interpreter that imports it, less those of one that imports nothing:
the least of several, so that other work on the machine changes them little.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bench.machine import machine

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
ROUNDS = 3
IMPORTED = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}
"""Names to import, where they differ from those of the package."""
BEFORE = "from tvtfast.common.torchvision import ensure_torchvision; ensure_torchvision(); "
"""What makes torchvision, and timm with it, importable beside a torch of another build."""
USES = {
    "torch": "everything that computes",
    "torchvision": "transforms, published data sets, teachers by name",
    "timm": "layers, networks by name, training parts",
    "numpy": "spaces, tables, draws",
    "pillow": "reading images",
    "scipy": "rank correlations, races, calibration",
    "pandas": "score tables, truth, reports",
    "scikit-learn": "the digits, which the first command searches on",
    "safetensors": "weights and batches on disk",
    "matplotlib": "figures of reports",
    "jinja2": "pages of reports",
    "plotly": "its script, by which figures of pages zoom",
    "jsonargparse": "the command line",
    "tqdm": "progress",
    "psutil": "memory, processes",
    "pyyaml": "configurations, files of architectures",
    "wrapt": "names that timm gets to know when it is imported",
}


def named() -> list[str]:
    """Packages that an installation without extras brings."""
    project = PROJECT.read_text(encoding="utf-8")
    required = project.partition("\ndependencies = [")[2].partition("\n]")[0]
    return re.findall(r'^ *"([\w-]+)', required, re.MULTILINE)


def size(package: str) -> float:
    """Installed bytes in units of 10^6."""
    files = metadata.files(package) or []
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def seconds(code: str) -> float:
    """Processor seconds of an interpreter that runs ``code``."""
    taken = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def main() -> None:
    nothing = seconds("pass")
    print(f"# Dependencies\n\n`python -m bench.dependencies`; {machine()}\n")
    print("Sizes without what a package itself depends on; processor seconds of a fresh import,")
    print(f"the least of {ROUNDS}.\n")
    print("| package | used for | MB | s to import |\n| --- | --- | --- | --- |")
    for package in named():
        module = IMPORTED.get(package, package)
        before = BEFORE if package in ("timm", "torchvision") else ""
        taken = max(0.0, seconds(f"{before}import {module}") - nothing)
        print(f"| {package} | {USES[package]} | {size(package):.1f} | {taken:.2f} |", flush=True)
    print("\n| what | s |\n| --- | --- |")
    for what, code in {
        "`import tvtfast`": "import tvtfast",
        "`tvtfast.score`": "import tvtfast; tvtfast.score",
        "`tvtfast.search`": "import tvtfast; tvtfast.search",
    }.items():
        print(f"| {what} | {seconds(code) - nothing:.2f} |", flush=True)


if __name__ == "__main__":
    main()
