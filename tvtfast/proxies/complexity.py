"""Parameter count and FLOPs: the baselines that every proxy is judged against."""

from __future__ import annotations

from tvtfast.proxies.base import Proxy, register

BASELINES = ("params", "flops")

register(
    Proxy(
        "params",
        lambda inputs: float(inputs.params),
        description="parameter count",
        per_step=lambda step: step.params,
    )
)
register(
    Proxy(
        "flops",
        lambda inputs: float(inputs.flops),
        description="FLOPs of one image, two per multiply-add",
        per_step=lambda step: 2 * step.macs,
    )
)
