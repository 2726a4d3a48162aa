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

from ._attention import attention_map, attention_map_distance, attention_map_distances
from ._attention_block import attention_block
from ._attention_jvp import attention_jvp
from ._gram import gram
from ._layer_norm import layer_norm
from ._linear import linear
from ._mlp_block import mlp_block
from ._norms import pack_segments, pack_slices, segment_norms, slice_norms
from ._packed_attention import packed_attention
from ._random import indexed_normal_, indexed_uniform_
from ._relations import (
    relation_batch_similarity,
    relation_cc,
    relation_distance,
    relation_ickd,
    relation_nst,
    relation_rkd_angle,
)
from ._sample_gram import sample_gram
from ._segments import SegmentTable
from ._self_attention import SelfAttentionStats, self_attention_stats
from ._slices import SliceTable
from .cuda._extension import build_info as cuda_build_info
from .dispatch import BackendError, Explanation, backends, explain, serving, use_backend
from .native._extension import build_info as native_build_info

__all__ = [
    "BackendError",
    "Explanation",
    "SegmentTable",
    "SelfAttentionStats",
    "SliceTable",
    "attention_block",
    "attention_jvp",
    "attention_map",
    "attention_map_distance",
    "attention_map_distances",
    "backends",
    "cuda_build_info",
    "explain",
    "gram",
    "indexed_normal_",
    "indexed_uniform_",
    "layer_norm",
    "linear",
    "mlp_block",
    "native_build_info",
    "pack_segments",
    "pack_slices",
    "packed_attention",
    "relation_batch_similarity",
    "relation_cc",
    "relation_distance",
    "relation_ickd",
    "relation_nst",
    "relation_rkd_angle",
    "sample_gram",
    "segment_norms",
    "self_attention_stats",
    "serving",
    "slice_norms",
    "use_backend",
]
