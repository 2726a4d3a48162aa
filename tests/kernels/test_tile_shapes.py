"""Every tile of a Triton kernel says its shape in a comment: ``# [BLOCK_Q, BLOCK_D]``."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import tokenize
from pathlib import Path

import pytest

MAKERS = {f"tl.{name}" for name in ("load", "arange", "zeros", "full", "dot")}
SHAPE = re.compile(r"# \[[^\]]*\]")


def kernel_files() -> list[Path]:
    spec = importlib.util.find_spec("tvtfast.kernels")
    assert spec is not None and spec.submodule_search_locations is not None
    folders = map(Path, spec.submodule_search_locations)
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return [path for path in files if "triton.jit" in path.read_text(encoding="utf-8")]


def is_kernel(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        "triton.jit" in ast.unparse(decorator) for decorator in node.decorator_list
    )


def makes_tile(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return) and any(
        isinstance(part, ast.Call) and ast.unparse(part.func) in MAKERS for part in ast.walk(node)
    )


def without_shape(source: str) -> list[int]:
    """First lines of the statements that make a tile and do not say its shape."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = {
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and SHAPE.match(token.string)
    }
    kernels = [node for node in ast.walk(ast.parse(source)) if is_kernel(node)]
    return [
        node.lineno
        for kernel in kernels
        for node in ast.walk(kernel)
        if makes_tile(node) and said.isdisjoint(range(node.lineno, node.end_lineno + 1))
    ]


def test_kernels_are_found() -> None:
    assert kernel_files()


@pytest.mark.parametrize("path", kernel_files(), ids=lambda path: path.stem)
def test_tiles_say_their_shape(path: Path) -> None:
    assert without_shape(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", kernel_files(), ids=lambda path: path.stem)
def test_each_missing_comment_is_noticed(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    makers = [
        node
        for kernel in ast.walk(ast.parse(source))
        if is_kernel(kernel)
        for node in ast.walk(kernel)
        if makes_tile(node)
    ]
    for node in makers:
        lines = source.splitlines(keepends=True)
        for index in range(node.lineno - 1, node.end_lineno):
            lines[index] = re.sub(r" *# \[[^\]]*\]", "", lines[index])
        assert without_shape("".join(lines)) == [node.lineno]
