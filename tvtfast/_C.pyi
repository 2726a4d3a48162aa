"""CPU kernels in C++. Addresses are those of elements in host memory.

Every operator is a function, which ``csrc/<operator>_binding.cpp`` defines.
"""

from collections.abc import Callable
from typing import Any

def vector_set(fastest: int) -> int: ...
def build_info() -> dict[str, str | int]: ...
def __getattr__(name: str) -> Callable[..., Any]: ...
