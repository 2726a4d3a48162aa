"""The kernels for AMX as an extension module for any CPU: tiles and vectors are in software."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tvtfast.common.files import cache_dir

from ..emulation.building import (
    JOBS,
    OPTIONS,
    SANITIZERS,
    SOURCES,
    Edit,
    bindings,
    command,
    compiler_version,
    digest,
    run_compiler,
)

HERE = Path(__file__).parent
OPERATORS = ("linear", "mlp_block", "packed_attention", "attention_block")
UNITS = (
    *(f"{name}.cpp" for name in OPERATORS),
    "packed_weight.cpp",
    "linear_amx_bf16.cpp",
    "attention_amx_bf16.cpp",
)
TARGET = '#pragma GCC target("arch=x86-64-v4,avx512bf16,amx-tile,amx-bf16")\n'


def build(sanitizer: str = "none", edit: Edit = lambda name, text: text) -> Path:
    """The extension module of the sources as ``edit`` leaves them; what is compiled is kept.

    Headers in ``include`` take the place of those of their names.
    """
    folder = cache_dir() / "amx"
    folder.mkdir(parents=True, exist_ok=True)
    own = {path.name: path.read_text() for path in sorted((HERE / "include").iterdir())}
    headers = {path.name: path.read_text() for path in sorted(SOURCES.glob("*.h"))}
    headers = {name: edit(name, text) for name, text in headers.items() if name not in own}
    sources = {name: edit(name, (SOURCES / name).read_text()) for name in UNITS}
    units = {name: text.replace(TARGET, "") for name, text in sources.items()}
    units["only_amx.cpp"] = (HERE / "only_amx.cpp").read_text()
    bound = {f"{name}_binding.cpp": (SOURCES / f"{name}_binding.cpp") for name in OPERATORS}
    bound["bindings.cpp"] = SOURCES / "bindings.cpp"
    texts = {name: path.read_text() for name, path in bound.items()}
    units["bindings.cpp"] = bindings(texts, "bindings.cpp")
    common = repr((compiler_version(), sorted((headers | own).items()), OPTIONS, sanitizer))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        for name, text in (headers | units).items():
            Path(work, name).write_text(text)
        call = [*command(Path(work), HERE / "include"), "-fopenmp"]

        def compiled(name: str) -> Path:
            # Bindings hold no kernel and are half of the compiler's work.
            options = ("-O0",) if name == "bindings.cpp" else ("-O2", *SANITIZERS[sanitizer])
            made = folder / f"{name}-{digest(common, units[name], *options)}.o"
            if not made.is_file():
                run_compiler([*call, *options, "-c", str(Path(work, name))], made)
            return made

        with ThreadPoolExecutor(JOBS) as pool:
            objects = list(pool.map(compiled, units))
    library = folder / f"{digest(*map(str, objects), sanitizer)}.so"
    if not library.is_file():
        call = ["g++", "-shared", "-fopenmp", *SANITIZERS[sanitizer], *map(str, objects)]
        run_compiler(call, library)
    return library
