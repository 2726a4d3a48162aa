"""CPU kernels in C++; see ``csrc/bindings.cpp``. Addresses are those of elements in host memory."""

from collections.abc import Sequence

def attention_block(
    tensors: Sequence[int],
    dtype: int,
    shape: Sequence[int],
    stride: Sequence[int],
    heads: Sequence[int],
    scale: float,
    eps: float,
    set: int,
    threads: int,
) -> None: ...
def attention_jvp(
    operands: Sequence[int],
    strides: Sequence[Sequence[int]],
    dtype: int,
    shape: Sequence[int],
    scale: float,
    out: int,
    tangent: int,
    threads: int,
) -> None: ...
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
    threads: int,
) -> None: ...
def attention_map_distances(
    xs: Sequence[int],
    dtype: int,
    shapes: Sequence[Sequence[int]],
    strides: Sequence[Sequence[int]],
    size: Sequence[int],
    teacher: int,
    teacher_rows: int,
    distances: int,
    threads: int,
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
    threads: int,
) -> None: ...
def packed_attention(
    qkv: int,
    dtype: int,
    shape: Sequence[int],
    stride: Sequence[int],
    scale: float,
    out: int,
    set: int,
    threads: int,
) -> None: ...
def layer_norm(
    x: int,
    dtype: int,
    shape: Sequence[int],
    row_stride: int,
    eps: float,
    out: int,
    set: int,
    threads: int,
) -> None: ...
def linear(
    tensors: Sequence[int],
    dtype: int,
    shape: Sequence[int],
    stride: Sequence[int],
    eps: float | None,
    gelu: bool,
    set: int,
    threads: int,
) -> None: ...
def mlp_block(
    tensors: Sequence[int],
    dtype: int,
    shape: Sequence[int],
    stride: Sequence[int],
    hidden: Sequence[int],
    eps: float,
    set: int,
    threads: int,
) -> None: ...
def vector_set() -> int: ...
def segment_norms(
    addresses: int, lengths: int, dtypes: int, n: int, norms: int, threads: int
) -> None: ...
def slice_norms(
    weight: int,
    dtype: int,
    row_stride: int,
    sizes: int,
    n: int,
    rows: int,
    columns: int,
    norms: int,
    threads: int,
) -> None: ...
def indexed_normal(
    out: int, shape: Sequence[int], key: int, scale: float, shift: float, threads: int
) -> None: ...
def indexed_uniform(
    out: int, shape: Sequence[int], key: int, scale: float, shift: float, threads: int
) -> None: ...
def build_info() -> dict[str, str | int]: ...
