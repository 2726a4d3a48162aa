"""Parameter count and FLOPs: the baselines that every proxy is judged against."""

from __future__ import annotations

from tvtfast.proxies.base import Proxy, ProxyInputs, StepInputs, register

BASELINES = ("params", "flops")


def _params(inputs: ProxyInputs) -> float:
    return float(inputs.params)


def _params_of_step(step: StepInputs) -> float:
    return step.params


def _flops(inputs: ProxyInputs) -> float:
    return float(inputs.flops)


def _flops_of_step(step: StepInputs) -> float:
    return 2 * step.macs


register(Proxy("params", _params, description="parameter count", per_step=_params_of_step))
register(
    Proxy(
        "flops",
        _flops,
        description="FLOPs of one image, two per multiply-add",
        per_step=_flops_of_step,
    )
)
