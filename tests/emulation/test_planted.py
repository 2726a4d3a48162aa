"""Every deliberate fault is found by its case. ``test_sanitizers.py`` starts this file in processes
of its own, where a sanitizer may end a child."""

from __future__ import annotations

import os
import sys
import traceback

import pytest
import torch

from .conftest import GUARD_OF_THIS_PROCESS, SANITIZER
from .faults import CASES, FAULTS, PROCESSORS
from .serving import Emulation, check_canaries, poison

PLANTED = [(number, fault) for number, fault in enumerate(FAULTS) if fault.sanitizer == SANITIZER]


def passes(emulation: Emulation, case: str, fault: int) -> bool:
    """Whether a case passes in a child of this process."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.manual_seed(0)
            emulation.configure(1, PROCESSORS, fault)
            with pytest.MonkeyPatch.context() as patch:
                buffers = poison(patch, GUARD_OF_THIS_PROCESS)
                CASES[case]()
            check_canaries(buffers, GUARD_OF_THIS_PROCESS)
            status = 0
        except (AssertionError, RuntimeError):
            traceback.print_exc(limit=1)
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("case", dict.fromkeys(fault.case for _, fault in PLANTED))
def test_without_a_fault(emulation: Emulation, case: str) -> None:
    assert passes(emulation, case, -1)


@pytest.mark.parametrize(
    ("number", "case"),
    [pytest.param(n, fault.case, id=f"{fault.name} by {fault.case}") for n, fault in PLANTED],
)
def test_with_a_fault(emulation: Emulation, number: int, case: str) -> None:
    assert not passes(emulation, case, number)
