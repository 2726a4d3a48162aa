"""Every Triton kernel compiled for real GPUs, on a machine without one.

A stub stands in for the driver: launchers run as they would, but every launch only compiles, and
what would have been launched is inspected: registers, stack, shared memory, PTX.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(params=(pytest.param(80, marks=pytest.mark.slow), 90))
def compiled(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Launches that compile for one target; at the end, all must fit the device."""
    from .compiling import launches_compile

    with launches_compile(request.param) as launches:
        yield launches
