"""Where nvcc is, and what is asked of it; for setup.py and the build backend, which have no torch.

Pure Python of the standard library: the backend reads it before any requirement is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

REQUIREMENT = "cuda-toolkit[nvcc,cccl]>=13,<14"
"""Wheels of PyPI that hold nvcc, its headers and the static runtime in one folder."""
HOMES = ("CUDA_HOME", "CUDA_PATH")
USUAL = ("/usr/local/cuda", "/opt/cuda")
MODES = ("auto", "1", "0")
VARIABLE = "TVTFAST_CUDA"


class NvccError(Exception):
    """nvcc is not there, does not run, or fails."""


def mode(variable: str = VARIABLE) -> str:
    """``auto``, ``1`` or ``0``, of an environment variable."""
    value = os.environ.get(variable, "auto")
    if value not in MODES:
        raise SystemExit(f"{variable}={value!r} is unknown; allowed are {', '.join(MODES)}")
    return value


def places() -> Iterator[Path]:
    """Where nvcc may lie, the caller's own choice first."""
    for name in HOMES:
        if os.environ.get(name):
            yield Path(os.environ[name], "bin", "nvcc")
    on_path = shutil.which("nvcc")
    if on_path:
        yield Path(on_path)
    for home in USUAL:
        yield Path(home, "bin", "nvcc")
    # An isolated build has its requirements on sys.path, and the environment that it is made for
    # beside its interpreter or in VIRTUAL_ENV.
    folders = [Path(entry) for entry in sys.path if entry]
    folders.append(Path(sysconfig.get_path("purelib")))
    if os.environ.get("VIRTUAL_ENV"):
        folders += sorted(Path(os.environ["VIRTUAL_ENV"]).glob("lib/python3*/site-packages"))
    for folder in folders:
        yield from sorted(folder.glob("nvidia/cu*/bin/nvcc"), reverse=True)


def find() -> str | None:
    """The first nvcc that there is."""
    return next((str(path) for path in places() if path.is_file()), None)


def has_device() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded."""
    return Path("/proc/driver/nvidia/version").is_file()


def requirements() -> list[str]:
    """What a build needs beside setuptools: nvcc, where it is insisted on and is not there."""
    return [REQUIREMENT] if mode() == "1" and find() is None else []


def run(command: list[str]) -> str:
    """What nvcc says.

    Raises:
        NvccError: It does not run, or fails.
    """
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise NvccError(f"{command[0]} does not run: {error}") from error
    said = result.stdout + result.stderr
    if result.returncode != 0:
        raise NvccError(f"{' '.join(command)} failed:\n{said}")
    return said


def runtime_folder(nvcc: str) -> Path:
    """Folder of the static runtime. nvcc itself may be a wrapper, but says where its toolkit is.

    Raises:
        NvccError: The toolkit has none.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.cu")
        source.touch()
        said = run([nvcc, "--dryrun", "-c", str(source), "-o", str(source.with_suffix(".o"))])
    found = re.search(r"^#\$ TOP=(.+)$", said, re.MULTILINE)
    if found is None:
        raise NvccError(f"{nvcc} --dryrun names no toolkit (TOP=)")
    top = Path(found[1].strip())
    for library in sorted(top.glob("**/libcudart_static.a")):
        return library.parent
    raise NvccError(f"no libcudart_static.a in {top.resolve()}")
