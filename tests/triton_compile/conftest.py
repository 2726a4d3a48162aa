"""Every Triton kernel compiled for real GPUs, on a machine without one.

A stub stands in for the driver: launchers run as they would, but every launch only compiles, and
what would have been launched is inspected: registers, stack, shared memory, PTX.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tvtfast.common.files import cache_dir


@pytest.fixture(params=(pytest.param(80, marks=pytest.mark.slow), 90))
def compiled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> Iterator[Any]:
    """Launches that compile for one target; at the end, all must fit the device."""
    import triton
    from triton.backends.compiler import GPUTarget

    from .compiling import KERNELS, SHARED_LIMITS, STACKS, Compiled, CompileOnly, NoGpu, usage

    # Triton's key holds source, target and options: what was compiled before is only read again.
    monkeypatch.setenv("TRITON_CACHE_DIR", str(cache_dir() / "triton"))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    stub = NoGpu(GPUTarget("cuda", request.param, 32))
    monkeypatch.setattr(triton.runtime.driver, "_active", stub)
    launches = Compiled()
    for module, names in KERNELS.items():
        for name in names:
            kernel = getattr(module, name)
            launches[name] = []
            monkeypatch.setattr(module, name, CompileOnly(kernel, launches[name]))
    yield launches
    for name, kernels in launches.items():
        for kernel in kernels:
            assert usage(kernel.asm["cubin"])["STACK"] <= STACKS.get(name, 0), f"{name} spills"
            assert kernel.metadata.shared <= SHARED_LIMITS[request.param], name
