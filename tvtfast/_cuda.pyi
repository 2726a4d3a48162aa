"""CUDA kernels. Addresses are those of device memory.

Every operator is a function, which ``csrc/cuda/<operator>_cuda_binding.cpp`` defines. It queues
work on ``stream`` of ``device`` and returns; a launch that fails raises ``RuntimeError``.
"""

from collections.abc import Callable
from typing import Any

CHUNK: int

def probe(device: int) -> str: ...
def build_info() -> dict[str, str]: ...
def __getattr__(name: str) -> Callable[..., Any]: ...
