"""What stands in code on the pages runs: every Python block, and every command to its parser."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tvtfast.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path for path in PAGES if path.exists()]


def _reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "tvtfast_test_pages", Path(__file__).with_name("pages.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pages = _reader()


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _parameters() -> list[Any]:
    """The pages with blocks of their own."""
    read = [pages.read(path) for path in PAGES]
    return [
        pytest.param(page, id=_name(page.path), marks=[pytest.mark.slow] if page.slow else [])
        for page in read
        if not page.elsewhere and any(block.condition != "elsewhere" for block in page.blocks)
    ]


@pytest.mark.parametrize("page", _parameters())
def test_blocks_run(
    page: Any, own_names: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page are one program, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    # transformers would find the folder of operators in the place of the package `kernels`
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() != ROOT]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *elsewhere])
    # dataclasses look their module up; a page's is not imported
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    for block in page.blocks:
        if _left_out(block):
            continue
        code = "\n" * (block.line - 1) + block.code
        exec(compile(code, str(page.path), "exec", dont_inherit=True), vars(module))


def _left_out(block: Any) -> bool:
    if block.condition == "needs":
        return importlib.util.find_spec(block.argument) is None
    if block.condition == "gpu":
        return not torch.cuda.is_available()
    return bool(block.condition)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_names_exist(path: Path) -> None:
    """Also in blocks that need what is not here, every name of tvtfast is one."""
    page = pages.read(path)
    for block in page.blocks:
        if block.condition == "skip":
            assert block.argument, f"{path}, line {block.line}: a block that is skipped says why"
        tree = ast.parse("\n" * (block.line - 1) + block.code, str(path))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                _resolve(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("tvtfast"):
                for alias in node.names:
                    _find(str(node.module), alias.name)


def _find(module: str, name: str) -> None:
    """Fail where a module has no such name; an adapter whose host is not here is passed over."""
    try:
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tvtfast"):
            raise


def _resolve(name: str) -> None:
    """Fail where a dotted name begins at the package and leads nowhere."""
    first, *rest = name.split(".")
    if first != "tvtfast" or not all(part.isidentifier() for part in rest):
        return
    found = importlib.import_module("tvtfast")
    path = first
    for part in rest:
        path += f".{part}"
        if isinstance(found, ModuleType) and not hasattr(found, part):
            found = importlib.import_module(path)
        else:
            found = getattr(found, part)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_to_files(path: Path) -> None:
    """Also for readers without the site; anchors are checked where the site is built."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert not [link for link in links if not (path.parent / link).exists()]


def test_blocks_that_run_elsewhere_do() -> None:
    given = {page.elsewhere for page in map(pages.read, PAGES)}
    given |= {
        block.argument
        for page in map(pages.read, PAGES)
        for block in page.blocks
        if block.condition == "elsewhere"
    }
    for test in sorted(given - {""}):
        assert "PAGE" in (ROOT / test).read_text(encoding="utf-8"), test


COMMAND_LINES = [
    pytest.param(line, id=f"{_name(path)}:{number}")
    for path in PAGES
    for number, line in pages.commands(path)
]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_are_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    for end in ("|", ">", "2>", "&&", ";", "&"):
        if end in words:
            words = words[: words.index(end)]
    if words[0].isupper() or words[0].startswith("--"):
        return  # the form of all commands, or an option of none
    assert words[0] in COMMANDS
    if {"--help", "[options]"} & {*words} or "RUN" in words:
        return
    parser = importlib.import_module(f"tvtfast.cli.{words[0]}").parser()
    parser.add_import_flag()
    parser.add_output_flags()
    parser.parse_args(words[1:])


PAGE = """
<!-- test page: slow -->
<!-- test: setup
x = 1
-->

```python
x += 1
```

<!-- test: skip no such data -->
<!-- test: setup
data = None
-->

```python
raise RuntimeError
```

```
tvtfast search --trials 3 \\
    --quiet  # few
```
"""


def test_a_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    page = pages.read(path)
    assert page.slow and not page.elsewhere
    assert [(block.line, block.shown, block.condition) for block in page.blocks] == [
        (4, False, ""),
        (8, True, ""),
        (13, False, "skip"),
        (17, True, "skip"),
    ]
    assert list(pages.commands(path)) == [(21, "tvtfast search --trials 3 --quiet")]
    path.write_text("<!-- test: skipp typo -->\n")
    with pytest.raises(ValueError, match="nothing is known of 'test: skipp'"):
        pages.read(path)
