"""Packages and the optional C++ and CUDA extensions; everything else is in pyproject.toml.

Environment:
    TVTFAST_NATIVE: ``auto`` (default) builds ``tvtfast._C`` where a C++ compiler works and goes on
        without it where none does; ``1`` must build it; ``0`` never does.
    TVTFAST_CUDA: the same for ``tvtfast._cuda`` and ``nvcc``, which ``1`` brings along where there
        is none: ``building/backend.py`` asks pip for it.
    CUDA_HOME: Folder of the toolkit whose nvcc to take; ``building/nvcc.py`` knows the others.
    TVTFAST_BUILD_JOBS: files compiled at a time; default as many as there are cores.
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pybind11
from pybind11.setup_helpers import ParallelCompile
from setuptools import Extension, find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import CCompilerError, CompileError, ExecError, LinkError, PlatformError

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "building"))

import nvcc  # noqa: E402

MSVC = sys.platform == "win32"

# No contraction of a * b + c: index-keyed random numbers promise the same bits everywhere. errno
# and floating-point exceptions, which nothing reads, would keep sqrt and selections from being
# vectorised.
COMPILE_ARGS = (
    ["/O2", "/std:c++17", "/fp:precise"]
    if MSVC
    else [
        "-O3",
        "-g0",
        "-std=c++17",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
    ]
)
# Compile and link options for OpenMP, tried in this order; the last needs no runtime.
OPENMP_ARGS = (
    [(["/openmp:experimental"], [])]
    if MSVC
    else [
        (["-fopenmp"], ["-fopenmp"]),
        (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),
        (["-fopenmp-simd"], []),
    ]
)
OPENMP_PROBE = "int main() {\n#pragma omp parallel\n  {}\n  return 0;\n}\n"
# Results are ranked: no fast math. The newest carries its PTX, for devices to come.
NVCC_ARGS = [
    "-O3",
    "-std=c++17",
    "--cudart=static",
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=sm_90",
    "-gencode=arch=compute_100,code=[sm_100,compute_100]",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra",
    "-Werror=all-warnings",
    "--threads=0",
]
# As -ffp-contract=off above.
NVCC_FILE_ARGS = {"indexed.cu": ["-fmad=false"]}
BUILD_ERRORS = (
    CCompilerError,
    CompileError,
    ExecError,
    LinkError,
    PlatformError,
    nvcc.NvccError,
)
WITHOUT_NVCC = "TVTFAST_CUDA=1 pip install . brings one along (0.3 GB); TVTFAST_CUDA=0 says no."

WITHOUT = {
    "tvtfast._C": "tvtfast.kernels will run on plain PyTorch. Install a C++17 compiler and"
    " reinstall; TVTFAST_NATIVE=1 makes this an error.",
    "tvtfast._cuda": "tvtfast.kernels will serve CUDA tensors without it. Repair nvcc and"
    " reinstall; TVTFAST_CUDA=1 makes this an error, TVTFAST_CUDA=0 skips the attempt.",
}


class CleanBuild(build):
    """Ship no file of an earlier build. Its objects are used again where it came to its end and was
    made with the same tools."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        ended = Path(self.build_temp, "ended.txt")
        tools = f"pybind11 {pybind11.__version__}, Python {sys.version}, {os.environ.get('CXX')}"
        if ended.is_file() and ended.read_text() == tools:
            ended.unlink()
        else:
            shutil.rmtree(self.build_temp, ignore_errors=True)
        super().run()
        ended.parent.mkdir(parents=True, exist_ok=True)
        ended.write_text(tools)


class CleanEditable(editable_wheel):
    """Drop the extensions of an earlier build from the source tree first."""

    def run(self) -> None:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            for name in ("_C", "_cuda"):
                (ROOT / "tvtfast" / f"{name}{suffix}").unlink(missing_ok=True)
        super().run()


class CudaExtension(Extension):
    """An extension whose ``kernels``, files of CUDA C++, nvcc compiles first."""

    def __init__(self, name: str, kernels: list[str], **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self.kernels = kernels


class BuildExtension(build_ext):
    """Build with what works on this machine, and say clearly what does not compile."""

    def build_extension(self, ext: Extension) -> None:
        try:
            if isinstance(ext, CudaExtension):
                self._compile_kernels(ext)
            else:
                compile_args, link_args = self._openmp()
                ext.extra_compile_args += compile_args
                ext.extra_link_args += link_args
            super().build_extension(ext)
        except BUILD_ERRORS as error:
            if ext.optional:
                warnings.warn(
                    f"{ext.name} was not built ({error}). {WITHOUT[ext.name]}", stacklevel=1
                )
            raise CompileError(str(error)) from error  # what an optional extension survives

    def _compile_kernels(self, ext: CudaExtension) -> None:
        compiler = nvcc.find()
        if compiler is None:
            raise CompileError("no nvcc was found")
        folder = Path(self.build_temp, "cuda")
        folder.mkdir(parents=True, exist_ok=True)
        for source in ext.kernels:
            path = Path(source)
            target = str(folder / f"{path.stem}.o")
            includes = [f"-I{name}" for name in ext.include_dirs]
            args = NVCC_ARGS + NVCC_FILE_ARGS.get(path.name, [])
            if is_outdated(target, source):
                nvcc.run([compiler, "-c", source, "-o", target, *args, *includes])
            ext.extra_objects.append(target)
        ext.library_dirs.append(str(nvcc.runtime_folder(compiler)))
        ext.libraries += ["cudart_static", "dl", "pthread", "rt"]

    def _openmp(self) -> tuple[list[str], list[str]]:
        for compile_args, link_args in OPENMP_ARGS:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "probe.cpp")
                source.write_text(OPENMP_PROBE)
                try:
                    objects = self.compiler.compile(
                        [str(source)], output_dir=folder, extra_postargs=compile_args
                    )
                    self.compiler.link_executable(
                        objects, str(Path(folder, "probe")), extra_postargs=link_args
                    )
                except BUILD_ERRORS:
                    continue
                return compile_args, link_args
        return [], []


def is_outdated(made: str, source: str) -> bool:
    """Whether an object must be made again: its source, any header or this file is newer."""
    headers = files("csrc/*.h", "csrc/cuda/*.h", "csrc/cuda/*.cuh")
    newest = max(Path(path).stat().st_mtime for path in (source, "setup.py", *headers))
    return not Path(made).is_file() or Path(made).stat().st_mtime < newest


def files(*patterns: str) -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)
    )


def extensions() -> list[Extension]:
    result: list[Extension] = []
    native, cuda = nvcc.mode("TVTFAST_NATIVE"), nvcc.mode()
    if native != "0":
        result.append(
            Extension(
                "tvtfast._C",
                sources=files("csrc/*.cpp"),
                depends=files("csrc/*.h"),
                include_dirs=["csrc", pybind11.get_include()],
                extra_compile_args=COMPILE_ARGS,
                language="c++",
                optional=native == "auto",
            )
        )
    found = not MSVC and nvcc.find() is not None
    if cuda == "auto" and not found and nvcc.has_device():
        warnings.warn(
            f"tvtfast._cuda is not built: a GPU, but no nvcc. {WITHOUT_NVCC}", stacklevel=1
        )
    if cuda == "1" or (cuda == "auto" and found):
        result.append(
            CudaExtension(
                "tvtfast._cuda",
                kernels=files("csrc/cuda/*.cu"),
                sources=files("csrc/cuda/*.cpp"),
                depends=files("csrc/*.h", "csrc/cuda/*.h", "csrc/cuda/*.cu", "csrc/cuda/*.cuh"),
                include_dirs=["csrc", "csrc/cuda", pybind11.get_include()],
                extra_compile_args=COMPILE_ARGS,
                language="c++",
                optional=cuda == "auto",
            )
        )
    return result


def packages() -> list[str]:
    operators = find_packages(str(ROOT / "kernels"))
    return [
        # tvtfast/kernels is a link to kernels, for checkers and source checkouts
        *find_packages(
            str(ROOT), ["tvtfast.kernels", "tvtfast.kernels.*"], ["tvtfast", "tvtfast.*"]
        ),
        "tvtfast.kernels",
        *(f"tvtfast.kernels.{name}" for name in operators),
    ]


ParallelCompile("TVTFAST_BUILD_JOBS", default=0, needs_recompile=is_outdated).install()
setup(
    packages=packages(),
    package_dir={"tvtfast": "tvtfast", "tvtfast.kernels": "kernels"},
    package_data={"": ["py.typed", "*.pyi", "*.html.j2", "judged.csv"]},
    ext_modules=extensions(),
    cmdclass={
        "build": CleanBuild,
        "build_ext": BuildExtension,
        "editable_wheel": CleanEditable,
    },
)
