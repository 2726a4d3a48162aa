"""TF_TAS (Zhou et al., CVPR 2022): AutoFormer's supernet, and PiT."""

from __future__ import annotations

from dataclasses import replace

from tvtfast.models.renames import autoformer
from tvtfast.models.renames.base import RenameMap
from tvtfast.models.renames.pit import pit_pairs

MAPS = (
    *(replace(one, host="tf-tas") for one in autoformer.MAPS),
    RenameMap(
        "tf-tas",
        "PiT",
        pit_pairs("qkv", "proj", "head_dist"),
        options={"pool": "token"},
        joined_tokens=True,
    ),
)
