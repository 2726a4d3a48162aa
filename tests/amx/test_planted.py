"""Every deliberate fault is found by its case. ``test_sanitizers.py`` starts this file in processes
of its own, where a sanitizer may end a child."""

from __future__ import annotations

import os
import sys
import traceback

import pytest
import torch

from .cases import CASES
from .faults import FAULTS
from .serving import Tiles

SANITIZER = os.environ.get("TVTFAST_AMX_SANITIZER", "none")
PLANTED = [(number, fault) for number, fault in enumerate(FAULTS) if fault.sanitizer == SANITIZER]


def passes(tiles: Tiles, case: str, fault: int) -> bool:
    """Whether a case passes in a child of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.manual_seed(0)
            tiles.plant(fault)
            CASES[case]()
            tiles.check()
            status = 0
        except (AssertionError, RuntimeError):
            traceback.print_exc(limit=1)
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


# Threads do not outlive a fork.
@pytest.mark.parametrize("case", [name for name in CASES if name != "threads"])
def test_without_a_fault(emulation: Tiles, case: str) -> None:
    assert passes(emulation, case, -1)


@pytest.mark.parametrize(
    ("number", "case"),
    [pytest.param(n, fault.case, id=f"{fault.name} by {fault.case}") for n, fault in PLANTED],
)
def test_with_a_fault(emulation: Tiles, number: int, case: str) -> None:
    assert not passes(emulation, case, number)
