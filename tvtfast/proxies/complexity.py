"""Parameter count and FLOPs: the baselines that every proxy is judged against."""

from __future__ import annotations

from tvtfast.proxies.base import Proxy, register

BASELINES = ("params", "flops")

register(Proxy("params", lambda inputs: float(inputs.params), description="parameter count"))
register(
    Proxy(
        "flops",
        lambda inputs: float(inputs.flops),
        description="FLOPs of one image, two per multiply-add",
    )
)
