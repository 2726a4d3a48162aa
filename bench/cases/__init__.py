"""Cases by operator, one file each: ``FORMS``, names of the baselines, and ``cases(device)``,
functions that build the cases by name. Building one allocates its memory.
"""

from __future__ import annotations

from bench.case import Builder
from bench.cases import (
    attention_block,
    attention_guidance,
    attention_jvp,
    attention_map_distance,
    attention_map_distances,
    indexed,
    layers,
    mlp_block,
    packed_attention,
    relations,
    segment_norms,
    self_attention_stats,
    slice_norms,
)

GROUPS = {
    "attention_map_distance": attention_map_distance,
    "attention_map_distances": attention_map_distances,
    "segment_norms": segment_norms,
    "slice_norms": slice_norms,
    "indexed": indexed,
    "self_attention_stats": self_attention_stats,
    "packed_attention": packed_attention,
    "attention_block": attention_block,
    "attention_jvp": attention_jvp,
    "layers": layers,
    "mlp_block": mlp_block,
    "relations": relations,
    "attention_guidance": attention_guidance,
}


def builders(device: str) -> dict[str, dict[str, Builder]]:
    """Builders of all cases of a device, by group and name."""
    return {group: module.cases(device) for group, module in GROUPS.items()}
