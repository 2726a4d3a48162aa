"""Made by ``python -m tvtfast.kernels.stub``."""

from .attention_block import attention_block as attention_block
from .attention_jvp import attention_jvp as attention_jvp
from .attention_map import attention_map as attention_map
from .attention_map_distance import attention_map_distance as attention_map_distance
from .attention_map_distances import attention_map_distances as attention_map_distances
from .backend.cuda import build_info as cuda_build_info
from .backend.native import build_info as native_build_info
from .dispatch import BackendError as BackendError
from .dispatch import Explanation as Explanation
from .dispatch import backends as backends
from .dispatch import explain as explain
from .dispatch import serving as serving
from .dispatch import use_backend as use_backend
from .gram import gram as gram
from .indexed import indexed_normal_ as indexed_normal_
from .indexed import indexed_uniform_ as indexed_uniform_
from .layer_norm import layer_norm as layer_norm
from .linear import linear as linear
from .mlp_block import mlp_block as mlp_block
from .packed_attention import packed_attention as packed_attention
from .registry import register as register
from .relations import relation_batch_similarity as relation_batch_similarity
from .relations import relation_cc as relation_cc
from .relations import relation_distance as relation_distance
from .relations import relation_ickd as relation_ickd
from .relations import relation_nst as relation_nst
from .relations import relation_rkd_angle as relation_rkd_angle
from .sample_gram import sample_gram as sample_gram
from .segment_norms import pack_segments as pack_segments
from .segment_norms import segment_norms as segment_norms
from .segment_norms.table import SegmentTable as SegmentTable
from .self_attention_stats import SelfAttentionStats as SelfAttentionStats
from .self_attention_stats import self_attention_stats as self_attention_stats
from .slice_norms import pack_slices as pack_slices
from .slice_norms import slice_norms as slice_norms
from .slice_norms.table import SliceTable as SliceTable

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
    "register",
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
