"""What tests of Triton kernels on a device share."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels.backend import triton as capability


@pytest.fixture
def triton_device() -> None:
    """A device on which Triton kernels run, or a skip with the reason."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible")
    if capability.interpreting():
        pytest.skip("TRITON_INTERPRET=1: kernels are interpreted, not run on the device")
    if capability.missing():
        pytest.skip(capability.missing()[0])
    torch.manual_seed(0)
