"""Fused operators over tensors; they know nothing of architecture search.

Importing this package touches no driver, no compiler and no network.
"""

from __future__ import annotations

if __name__ == "kernels":
    raise ImportError(
        "this is the source folder of tvtfast.kernels and cannot be imported as 'kernels':"
        " every operator would be registered twice. Import tvtfast.kernels; if you want the package"
        " 'kernels' of the package index, run Python from another directory."
    )

from ._attention import attention_map, attention_map_distance
from ._norms import pack_segments, segment_norms, slice_norms
from ._random import indexed_normal_, indexed_uniform_
from ._segments import SegmentTable
from .cuda._extension import build_info as cuda_build_info
from .dispatch import BackendError, Explanation, backends, explain, use_backend
from .native._extension import build_info as native_build_info

__all__ = [
    "BackendError",
    "Explanation",
    "SegmentTable",
    "attention_map",
    "attention_map_distance",
    "backends",
    "cuda_build_info",
    "explain",
    "indexed_normal_",
    "indexed_uniform_",
    "native_build_info",
    "pack_segments",
    "segment_norms",
    "slice_norms",
    "use_backend",
]
