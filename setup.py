"""Packages and the optional C++ extension; everything else is in pyproject.toml.

Environment:
    TVTFAST_NATIVE: ``auto`` (default) builds ``tvtfast._C`` where a C++ compiler works and goes on
        without it where none does; ``1`` must build it; ``0`` never does.
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pybind11
from setuptools import Extension, find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import CCompilerError, CompileError, ExecError, LinkError, PlatformError

ROOT = Path(__file__).parent
MODES = ("auto", "1", "0")
MODE = os.environ.get("TVTFAST_NATIVE", "auto")
MSVC = sys.platform == "win32"

# No contraction of a * b + c: index-keyed random numbers promise the same bits everywhere. errno
# and floating-point exceptions, which nothing reads, would keep sqrt and selections from being
# vectorised.
COMPILE_ARGS = (
    ["/O2", "/std:c++17", "/fp:precise"]
    if MSVC
    else [
        "-O3",
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
BUILD_ERRORS = (CCompilerError, CompileError, ExecError, LinkError, PlatformError)


class CleanBuild(build):
    """Build from nothing, so that no file of an earlier build is shipped."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class CleanEditable(editable_wheel):
    """Drop the extension of an earlier build from the source tree first."""

    def run(self) -> None:
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            (ROOT / "tvtfast" / f"_C{suffix}").unlink(missing_ok=True)
        super().run()


class BuildExtension(build_ext):
    """Build with the first OpenMP options that work, and say clearly when nothing compiles."""

    def build_extension(self, ext: Extension) -> None:
        compile_args, link_args = self._openmp()
        ext.extra_compile_args += compile_args
        ext.extra_link_args += link_args
        try:
            super().build_extension(ext)
        except BUILD_ERRORS as error:
            if ext.optional:
                warnings.warn(
                    f"{ext.name} was not built ({error}): tvtfast.kernels will run on plain"
                    " PyTorch. Install a C++17 compiler and reinstall; TVTFAST_NATIVE=1 makes this"
                    " an error.",
                    stacklevel=1,
                )
            raise

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


def extensions() -> list[Extension]:
    if MODE not in MODES:
        raise SystemExit(f"TVTFAST_NATIVE={MODE!r} is unknown; allowed are {', '.join(MODES)}")
    if MODE == "0":
        return []
    return [
        Extension(
            "tvtfast._C",
            sources=sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/*.cpp")),
            depends=sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/*.h")),
            include_dirs=["csrc", pybind11.get_include()],
            extra_compile_args=COMPILE_ARGS,
            language="c++",
            optional=MODE == "auto",
        )
    ]


def packages() -> list[str]:
    operators = find_packages(str(ROOT / "kernels"))
    return [
        *find_packages(str(ROOT), include=["tvtfast", "tvtfast.*"]),
        "tvtfast.kernels",
        *(f"tvtfast.kernels.{name}" for name in operators),
    ]


setup(
    packages=packages(),
    package_dir={"tvtfast": "tvtfast", "tvtfast.kernels": "kernels"},
    package_data={"": ["py.typed", "*.pyi", "*.html.j2"]},
    ext_modules=extensions(),
    cmdclass={
        "build": CleanBuild,
        "build_ext": BuildExtension,
        "editable_wheel": CleanEditable,
    },
)
