"""Faults planted into CUDA C++, each with the case that must find it.

All of them are compiled at once, as ``fault == number ? wrong : right``, and one is at work at a
time: ``test_planted.py`` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..gpu import cuda_cases as cases

PROCESSORS = 2
MANY = 4 * PROCESSORS
PLANES, CHANNELS_LAST = torch.contiguous_format, torch.channels_last

CASES: dict[str, Callable[[], None]] = {
    "map": lambda: cases.test_attention_map_against_fp64("cpu", torch.float32, 24, None),
    "resized map": lambda: cases.test_attention_map_against_fp64("cpu", torch.float32, 24, (20, 5)),
    "planes of one block or several": lambda: cases.test_one_block_or_several(
        "cpu", MANY, (1, 8, 64, 80), PLANES
    ),
    "tokens of one block or several": lambda: cases.test_one_block_or_several(
        "cpu", MANY, (1, 640, 16, 16), CHANNELS_LAST
    ),
    "tiles of planes": lambda: cases.test_blocks_of_several_tiles("cpu", MANY, PLANES, None),
    "tiles of tokens": lambda: cases.test_blocks_of_several_tiles("cpu", MANY, CHANNELS_LAST, None),
    "special values": lambda: cases.test_special_values("cpu", None),
    "segment norms": lambda: cases.test_segment_norms_against_fp64("cpu"),
    "a vector of numbers": lambda: cases.test_indexed_numbers_have_the_bits_of_the_cpu(
        "cpu", torch.float32, (7,)
    ),
    "a matrix of numbers": lambda: cases.test_indexed_numbers_have_the_bits_of_the_cpu(
        "cpu", torch.float32, (33, 129)
    ),
    "a kernel of numbers": lambda: cases.test_indexed_numbers_have_the_bits_of_the_cpu(
        "cpu", torch.float32, (64, 3, 16, 16)
    ),
}


@dataclass(frozen=True)
class Fault:
    """``right``, the expression after ``before`` in a file, and ``wrong`` in its place."""

    name: str
    file: str
    right: str
    wrong: str
    case: str
    before: str = ""
    sanitizer: str = "none"


BARRIER = ("__syncthreads()", "void()")
MAP, GRADIENT, FEATURES = "attention_map.cu", "attention_map_backward.cu", "features.cuh"
REDUCE, SEGMENTS, INDEXED = "reduce.cuh", "segment_norms.cu", "indexed.cu"

FAULTS = (
    Fault(
        "sums read before all are there",
        MAP,
        *BARRIER,
        "map",
        "if (scratch != nullptr) return;\n  ",
    ),
    Fault(
        "partial sums read before all are there",
        MAP,
        *BARRIER,
        "map",
        "partial[warp][lane * N + i] = sum[i];\n    ",
    ),
    Fault(
        "partial sums overwritten while they are read",
        MAP,
        *BARRIER,
        "tiles of planes",
        "sums[begin + i] = total;\n    }\n    ",
        sanitizer="thread",
    ),
    Fault(
        "one channel too many",
        MAP,
        "c < x.channels",
        "c <= x.channels",
        "map",
        "const int c = first + l * kMapWarps;\n          if (",
    ),
    Fault(
        "one position too many",
        MAP,
        "p < positions",
        "p <= positions",
        "map",
        "if (lane == 0 && ",
    ),
    Fault(
        "too little shared memory",
        MAP,
        "positions * sizeof(double)",
        "positions * sizeof(float)",
        "map",
    ),
    Fault("the lower row twice", MAP, "k / 2 ? rows.high : rows.low", "rows.low", "resized map"),
    Fault("the first teacher for all", MAP, "b % out.teacher_rows", "0 * b", "map"),
    Fault(
        "scratch for one image",
        MAP,
        "x.images * positions",
        "positions",
        "planes of one block or several",
        "elements = ",
        "address",
    ),
    Fault("lanes of other groups", MAP, "lanes", "kWarp", "map", "sum = lane_sum(sum, "),
    Fault(
        "every block takes all positions",
        MAP,
        "blockIdx.y * groups",
        "0 * groups",
        "tokens of one block or several",
        "for (int begin = ",
        "thread",
    ),
    Fault(
        "weights overwritten while they are read",
        GRADIENT,
        *BARRIER,
        "tiles of tokens",
        "const int count = min(kCount, positions - begin);\n    ",
        "thread",
    ),
    Fault(
        "weights read before all are there",
        GRADIENT,
        *BARRIER,
        "map",
        "weights[k][p] = scale(begin + p);\n      }\n    }\n    ",
    ),
    Fault("no mask at the border", GRADIENT, "!other.inside", "false", "resized map"),
    Fault(
        "stride of a dense tensor",
        GRADIENT,
        "c * x.channel_stride",
        "static_cast<std::int64_t>(c) * positions",
        "map",
    ),
    Fault(
        "one packet too many",
        GRADIENT,
        "c < x.channels",
        "c <= x.channels",
        "map",
        "c = threadIdx.x % lanes * N; ",
    ),
    Fault("half of the lanes", REDUCE, "width / 2", "width / 4", "map"),
    Fault(
        "sums of warps overwritten while they are read",
        REDUCE,
        *BARRIER,
        "map",
        "value = lane_sum(value);\n  ",
        "thread",
    ),
    Fault(
        "sums of warps read before all are there",
        REDUCE,
        *BARRIER,
        "map",
        "warp_sums[threadIdx.x / kWarp] = value;\n  ",
    ),
    Fault(
        "packets at any address", FEATURES, "aligned(x.data)", "true", "map", sanitizer="address"
    ),
    Fault(
        "a tap beyond the image",
        FEATURES,
        "min(low + 1, in - 1)",
        "low + 1",
        "resized map",
        sanitizer="address",
    ),
    Fault(
        "a norm that is no number taken for the floor",
        FEATURES,
        "!(norm <= kNormFloor) ? norm : kNormFloor",
        "norm > kNormFloor ? norm : kNormFloor",
        "special values",
    ),
    Fault(
        "rows joined that do not follow each other",
        FEATURES,
        "x.stride[1] == x.width * x.stride[2]",
        "true",
        "map",
    ),
    Fault(
        "one element too many at the end",
        SEGMENTS,
        "tail + lane < n",
        "tail + lane <= n",
        "segment norms",
    ),
    Fault("one element counted twice", SEGMENTS, "lane < head", "lane <= head", "segment norms"),
    Fault(
        "one packet too many in a chunk", SEGMENTS, "at < packets", "at <= packets", "segment norms"
    ),
    Fault(
        "one chunk too many",
        SEGMENTS,
        "chunk >= segments.chunks",
        "chunk > segments.chunks",
        "segment norms",
        sanitizer="address",
    ),
    Fault(
        "chunks counted twice", SEGMENTS, "chunk += kWarp", "chunk += kWarp - 1", "segment norms"
    ),
    Fault(
        "one call too many",
        INDEXED,
        "call >= calls",
        "call > calls",
        "a vector of numbers",
        sanitizer="address",
    ),
    Fault("a bit of the key twice", INDEXED, "key >> 32", "key >> 31", "a vector of numbers"),
    Fault(
        "four numbers where fewer fit",
        INDEXED,
        "begin + 4 <= last",
        "begin < last",
        "a matrix of numbers",
        sanitizer="address",
    ),
    Fault(
        "four numbers at any address",
        INDEXED,
        "reinterpret_cast<std::uintptr_t>(out) % sizeof(float4) == 0",
        "true",
        "a matrix of numbers",
        sanitizer="address",
    ),
    Fault(
        "one index for two axes",
        INDEXED,
        "static_cast<std::uint32_t>(i1)",
        "static_cast<std::uint32_t>(i2)",
        "a kernel of numbers",
    ),
)


def plant(name: str, text: str, faults: tuple[Fault, ...] = FAULTS) -> str:
    """All faults of a file, none of them at work."""
    places = []
    for number, fault in enumerate(faults):
        if fault.file != name:
            continue
        if text.count(fault.before + fault.right) != 1:
            raise ValueError(f"{name} has no single place for the fault {fault.name!r}")
        begin = text.index(fault.before + fault.right) + len(fault.before)
        choice = f"(::emulated::fault == {number} ? ({fault.wrong}) : ({fault.right}))"
        places.append((begin, begin + len(fault.right), choice))
    for begin, end, choice in sorted(places, reverse=True):
        text = text[:begin] + choice + text[end:]
    return text
