"""Peak memory of a forward pass by the allocator of the device."""

from __future__ import annotations

import pytest
import torch

import tvtfast
from tvtfast.common.memory import device_peak
from tvtfast.spaces import AutoFormerSpace

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]
SPACE = AutoFormerSpace("pass-gpu", (16, 32), (2,), (2.0, 3.0), (2, 4))
OPTIONS = {"img_size": 16, "patch_size": 8, "num_classes": 3}


def test_it_is_of_the_pass_alone_and_the_peak_of_the_process_is_kept():
    large = torch.empty(2**26, device="cuda")
    del large
    arch = SPACE.sample(1, 0)[0]
    names = ["peak_memory:64", "peak_memory:128"]
    table = tvtfast.score([arch], space=SPACE, proxies=names, device="cuda", **OPTIONS)
    small, big = (table[name][0] for name in names)
    images = 4 * 64 * 3 * 16 * 16
    assert 4 * SPACE.params(arch, **OPTIONS) + images < small < 2**26
    assert big - small >= images
    assert device_peak() >= 4 * 2**26
