"""CUDA kernels; see ``csrc/cuda/cuda_bindings.cpp``. Addresses are those of device memory.

Every operator queues work on ``stream`` of ``device`` and returns; a launch that fails raises
``RuntimeError``.
"""

from collections.abc import Sequence

CHUNK: int

def attention_map_scratch(shape: Sequence[int], size: Sequence[int], device: int) -> int: ...
def attention_map(
    x: int,
    dtype: int,
    shape: Sequence[int],
    stride: Sequence[int],
    size: Sequence[int],
    map: int,
    norm: int,
    teacher: int,
    teacher_rows: int,
    distance: int,
    scratch: int,
    device: int,
    stream: int,
) -> None: ...
def attention_map_backward(
    x: int,
    dtype: int,
    shape: Sequence[int],
    stride: Sequence[int],
    size: Sequence[int],
    map: int,
    norm: int,
    grad_map: int,
    grad: int,
    device: int,
    stream: int,
) -> None: ...
def segment_norms(
    addresses: int,
    lengths: int,
    dtypes: int,
    first: int,
    segment_of: int,
    segments: int,
    chunks: int,
    scratch: int,
    norms: int,
    device: int,
    stream: int,
) -> None: ...
def indexed_normal(
    out: int,
    shape: Sequence[int],
    key: int,
    scale: float,
    shift: float,
    device: int,
    stream: int,
) -> None: ...
def indexed_uniform(
    out: int,
    shape: Sequence[int],
    key: int,
    scale: float,
    shift: float,
    device: int,
    stream: int,
) -> None: ...
def probe(device: int) -> str: ...
def build_info() -> dict[str, str]: ...
