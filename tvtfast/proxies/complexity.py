"""Parameter count and FLOPs: the baselines that every proxy is judged against."""

from __future__ import annotations

from tvtfast.proxies.base import Proxy, ProxyInputs, StepInputs, register

BASELINES = ("params", "flops")
"""Columns of every table, beside ``macs``, which are half the FLOPs and rank as they do."""


def _params(inputs: ProxyInputs) -> float:
    return float(inputs.params)


def _params_of_step(step: StepInputs) -> float:
    return step.params


def _flops(inputs: ProxyInputs) -> float:
    return float(inputs.flops)


def _flops_of_step(step: StepInputs) -> float:
    return 2 * step.macs


def _macs(inputs: ProxyInputs) -> float:
    return float(macs_of(inputs.flops))


def _macs_of_step(step: StepInputs) -> float:
    return step.macs


def macs_of(flops: float) -> float:
    """Multiply-adds from FLOPs, which are two each: closed forms and
    ``torch.utils.flop_counter`` count products alone."""
    return flops // 2


register(Proxy("params", _params, description="parameter count", per_step=_params_of_step))
register(
    Proxy(
        "flops",
        _flops,
        description="FLOPs of one image, two per multiply-add",
        per_step=_flops_of_step,
    )
)
register(
    Proxy(
        "macs",
        _macs,
        description="multiply-adds of one image, half its FLOPs; most papers call these FLOPs",
        per_step=_macs_of_step,
    )
)
