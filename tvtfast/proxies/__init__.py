"""Scores of untrained candidates, one file per proxy."""

from tvtfast.proxies.base import (
    CombinedProxy,
    Proxy,
    ProxyInputs,
    available,
    get,
    register,
    resolve,
)
from tvtfast.proxies.complexity import BASELINES
from tvtfast.proxies.relations import RELATIONS
from tvtfast.proxies.teacher_aware import TEACHER_AWARE, teacher_aware
from tvtfast.proxies.throughput import THROUGHPUT, THROUGHPUT_SPREAD
from tvtfast.proxies.tvt import TVT
from tvtfast.proxies.weight_norm import WEIGHT_NORM, weight_norm

__all__ = [
    "BASELINES",
    "RELATIONS",
    "TEACHER_AWARE",
    "THROUGHPUT",
    "THROUGHPUT_SPREAD",
    "TVT",
    "WEIGHT_NORM",
    "CombinedProxy",
    "Proxy",
    "ProxyInputs",
    "available",
    "get",
    "register",
    "resolve",
    "teacher_aware",
    "weight_norm",
]
