"""Check what a wheel and a source distribution hold."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile

NEEDED = (
    "tvtfast/py.typed",
    "tvtfast/kernels/__init__.py",
    "tvtfast/kernels/py.typed",
    "tvtfast/kernels/__init__.pyi",
    "tvtfast/kernels/backend/native.py",
    "tvtfast/kernels/gram/definition.py",
    "tvtfast/kernels/gram/triton_kernels.py",
    "tvtfast/_C.pyi",
    "tvtfast/_cuda.pyi",
    "tvtfast/report/interactive/chart.py",
    "tvtfast/report/templates/figures.html.j2",
    "tvtfast/report/templates/report.html.j2",
    "tvtfast/scoring/judged.csv",
    "tvtfast/cli/main.py",
)
SOURCES = ("building", "csrc", "kernels", "tvtfast", "LICENSE", "pyproject.toml", "setup.py")


def check_wheel(path: str) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    tops = {name.split("/", 1)[0] for name in names}
    problems = [f"missing {name}" for name in NEEDED if name not in names]
    problems += [
        f"unexpected top level {top}"
        for top in tops
        if top not in ("tvtfast", "tvtfast.libs") and not top.endswith(".dist-info")
    ]
    if not any(name.startswith("tvtfast/_C.") and name.endswith(".so") for name in names):
        problems.append("no compiled extension")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        problems.append("no licence")
    return problems


def check_sdist(path: str) -> list[str]:
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files", *SOURCES], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    problems = [
        f"missing {name}" for name in tracked if name not in names and name != "tvtfast/kernels"
    ]
    if any(name.startswith("tvtfast/kernels") for name in names):
        problems.append("the kernels twice")
    return problems


def main(paths: list[str]) -> int:
    failed = False
    for path in paths:
        problems = check_wheel(path) if path.endswith(".whl") else check_sdist(path)
        failed |= bool(problems)
        print(f"{path.rsplit('/', 1)[-1]}: {'; '.join(problems) or 'content as expected'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
