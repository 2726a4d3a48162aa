"""``csrc/cuda`` compiled by g++ for this CPU, as an extension module."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from tvtfast.common.files import cache_dir

from .rewriting import rewrite

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "csrc"
JOBS = 2

OPTIONS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-pthread")
SANITIZERS = {
    "none": (),
    "address": ("-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-g1", "-fsanitize=thread"),
}

Edit = Callable[[str, str], str]
"""Name and text of a source in, text out."""


def missing() -> str | None:
    """Why nothing can be emulated here; None where it can."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "fibers are switched by code for x86-64 Linux"
    if shutil.which("g++") is None:
        return "g++ is not on PATH"
    if not (SOURCES / "cuda").is_dir():
        return f"no sources in {SOURCES}"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h is missing"
    return None


def runtime(sanitizer: str) -> str:
    """The library of a sanitizer, which must be loaded before everything else; empty for none."""
    if sanitizer == "none":
        return ""
    short = {"address": "asan", "thread": "tsan"}[sanitizer]
    command = ["g++", f"-print-file-name=lib{short}.so"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def build(sanitizer: str = "none", edit: Edit = lambda name, text: text) -> Path:
    """The extension module of the sources as ``edit`` leaves them; what is compiled is kept."""
    sources = {path.name: path.read_text() for path in sorted((SOURCES / "cuda").iterdir())}
    sources = {name: edit(name, text) for name, text in sources.items()}
    return link(
        {
            name.replace(".cu", ".cpp"): rewrite(text)
            for name, text in sources.items()
            if name.endswith(".cu")
        }
        | {"bindings.cpp": bindings(sources, "cuda_bindings.cpp")},
        {name: rewrite(text) for name, text in sources.items() if name.endswith((".h", ".cuh"))},
        sanitizer,
    )


def link(units: dict[str, str], headers: dict[str, str], sanitizer: str) -> Path:
    """A shared library of the units and the scheduler."""
    folder = cache_dir() / "emulation"
    folder.mkdir(parents=True, exist_ok=True)
    shared = {path.name: path.read_text() for path in SOURCES.glob("*.h")}
    shared |= {path.name: path.read_text() for path in (HERE / "include").iterdir()}
    common = repr((sys.version, compiler_version(), sorted((headers | shared).items()), OPTIONS))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        for name, text in (headers | units).items():
            Path(work, name).write_text(text)

        call = command(Path(work), HERE / "include", SOURCES)

        def compiled(name: str, text: str, source: Path, options: tuple[str, ...]) -> Path:
            made = folder / f"{name}-{digest(common, text, *options)}.o"
            if not made.is_file():
                run_compiler([*call, *options, "-c", str(source)], made)
            return made

        scheduler = HERE / "scheduler.cpp"
        own = (
            f"-DEMULATED_RACES={int(sanitizer == 'thread')}",
            f"-DEMULATED_EXACT={int(sanitizer == 'address')}",
        )
        jobs = [("scheduler.cpp", scheduler.read_text(), scheduler, own)]
        for name, text in units.items():
            # Bindings hold no kernel and are half of the compiler's work.
            options = SANITIZERS[sanitizer] if name != "bindings.cpp" else ("-O0",)
            jobs.append((name, text, Path(work, name), options))
        with ThreadPoolExecutor(JOBS) as pool:
            objects = list(pool.map(lambda job: compiled(*job), jobs))
    library = folder / f"{digest(*map(str, objects), sanitizer)}.so"
    if not library.is_file():
        run_compiler(["g++", "-shared", *SANITIZERS[sanitizer], *map(str, objects)], library)
    return library


def bindings(sources: dict[str, str], module: str) -> str:
    """All bindings in one unit, which reads their headers once, and the file of the module."""
    names = [name for name in sources if name.endswith("_binding.cpp")]
    parts = [
        f"#define registrar registrar_of_{name.removesuffix('.cpp')}\n{sources[name]}"
        "\n#undef registrar\n"
        for name in names
    ]
    return "".join(parts) + sources[module]


def command(*folders: Path) -> list[str]:
    """The compiler, with headers of these folders, of Python and of pybind11."""
    foreign = (Path(torch.__file__).parent / "include", sysconfig.get_path("include"))
    return [
        "g++",
        *OPTIONS,
        *(f"-I{folder}" for folder in folders),
        *(f"-isystem{folder}" for folder in foreign),
    ]


def run_compiler(command: list[str], made: Path) -> None:
    """Run a compiler; what it makes appears under its name when it is whole."""
    handle, part = tempfile.mkstemp(suffix=made.suffix, dir=made.parent)
    os.close(handle)
    result = subprocess.run([*command, "-o", part], capture_output=True, text=True)
    if result.returncode != 0:
        Path(part).unlink()
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-4000:]}")
    os.replace(part, made)


def compiler_version() -> str:
    """What g++ says of itself."""
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout


def digest(*texts: str) -> str:
    """A short name for what texts hold."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
