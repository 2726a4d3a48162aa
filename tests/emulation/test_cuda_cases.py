"""The cases of ``tests/gpu`` for CUDA C++, without a device."""

from ..gpu.cuda_cases import *  # noqa: F403
