"""Scores of untrained candidates, one file per proxy."""

from tvtfast.proxies.attention_heads import attention_entropy, head_similarity
from tvtfast.proxies.az_nas import AZ_NAS, az_expressivity, az_progressivity, az_trainability
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
from tvtfast.proxies.dss import dss
from tvtfast.proxies.factory import ProxyFactory
from tvtfast.proxies.inherited_accuracy import (
    HARDLY_TRAINED,
    INHERITED_ACCURACY,
    TRAINED_STEPS,
)
from tvtfast.proxies.jacob_cov import jacob_cov
from tvtfast.proxies.latency import latency, latency_spread
from tvtfast.proxies.length_distortion import curvature, gauss_length, length_distortion
from tvtfast.proxies.naswot import naswot
from tvtfast.proxies.ntk import ntk_condition, ntk_gram
from tvtfast.proxies.peak_memory import peak_memory
from tvtfast.proxies.relations import RELATIONS
from tvtfast.proxies.swap import swap
from tvtfast.proxies.teacher_aware import TEACHER_AWARE, teacher_aware
from tvtfast.proxies.throughput import THROUGHPUT, THROUGHPUT_SPREAD
from tvtfast.proxies.tvt import TVT
from tvtfast.proxies.weight_norm import WEIGHT_NORM, weight_norm

__all__ = [
    "AZ_NAS",
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
    "attention_entropy",
    "available",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
    "beside_later",
    "constrained_proxies",
    "curvature",
    "dss",
    "gauss_length",
    "get",
    "head_similarity",
    "jacob_cov",
    "latency",
    "latency_spread",
    "length_distortion",
    "macs_of",
    "made_later",
    "naswot",
    "ntk_condition",
    "ntk_gram",
    "peak_memory",
    "register",
    "resolve",
    "swap",
    "teacher_aware",
    "weight_norm",
]
