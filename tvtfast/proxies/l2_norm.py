"""The weight norm under the name it has among zero-cost proxies."""

from __future__ import annotations

from dataclasses import replace

from tvtfast.proxies.base import register
from tvtfast.proxies.weight_norm import WEIGHT_NORM

L2_NORM = register(
    replace(
        WEIGHT_NORM,
        name="l2_norm",
        description="sum of the L2 norms of all weights: weight_norm (ICLR 2021)",
    )
)
r"""Sum of the L2 norms of all convolution and linear weights, ``sum_l ||W_l||_F``.

Published before TVT, which calls it student capability; so the column equals ``weight_norm``.
Higher is better; needs weights alone; deterministic; all spaces and modules.

Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
"""
