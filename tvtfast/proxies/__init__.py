"""Scores of untrained candidates, one file per proxy."""

from tvtfast.proxies.base import (
    CombinedProxy,
    Proxy,
    ProxyInputs,
    UndefinedScoreError,
    available,
    beside_later,
    get,
    made_later,
    register,
    resolve,
)
from tvtfast.proxies.complexity import BASELINES, macs_of
from tvtfast.proxies.constrained import constrained_proxies
from tvtfast.proxies.factory import ProxyFactory
from tvtfast.proxies.inherited_accuracy import (
    HARDLY_TRAINED,
    INHERITED_ACCURACY,
    TRAINED_STEPS,
)
from tvtfast.proxies.latency import latency, latency_spread
from tvtfast.proxies.length_distortion import curvature, gauss_length, length_distortion
from tvtfast.proxies.ntk import ntk_condition, ntk_gram
from tvtfast.proxies.peak_memory import peak_memory
from tvtfast.proxies.relations import RELATIONS
from tvtfast.proxies.teacher_aware import TEACHER_AWARE, teacher_aware
from tvtfast.proxies.throughput import THROUGHPUT, THROUGHPUT_SPREAD
from tvtfast.proxies.tvt import TVT
from tvtfast.proxies.weight_norm import WEIGHT_NORM, weight_norm

__all__ = [
    "BASELINES",
    "HARDLY_TRAINED",
    "INHERITED_ACCURACY",
    "RELATIONS",
    "TEACHER_AWARE",
    "THROUGHPUT",
    "THROUGHPUT_SPREAD",
    "TRAINED_STEPS",
    "TVT",
    "WEIGHT_NORM",
    "CombinedProxy",
    "Proxy",
    "ProxyFactory",
    "ProxyInputs",
    "UndefinedScoreError",
    "available",
    "beside_later",
    "constrained_proxies",
    "curvature",
    "gauss_length",
    "get",
    "latency",
    "latency_spread",
    "length_distortion",
    "macs_of",
    "made_later",
    "ntk_condition",
    "ntk_gram",
    "peak_memory",
    "register",
    "resolve",
    "teacher_aware",
    "weight_norm",
]
