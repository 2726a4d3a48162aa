"""Scores of untrained candidates, one file per proxy."""

from tvtfast.proxies.attention_heads import attention_entropy, head_similarity
from tvtfast.proxies.az_nas import AZ_NAS, az_expressivity, az_progressivity, az_trainability
from tvtfast.proxies.base import (
    PLUGINS,
    CombinedProxy,
    Proxy,
    ProxyInputs,
    UndeclaredInputError,
    UndefinedScoreError,
    available,
    beside_later,
    get,
    made_later,
    register,
    resolve,
)
from tvtfast.proxies.calibrated import CALIBRATED
from tvtfast.proxies.complexity import BASELINES, macs_of
from tvtfast.proxies.constrained import constrained_proxies
from tvtfast.proxies.derived import DerivedProxy
from tvtfast.proxies.diswot import diswot
from tvtfast.proxies.dss import dss
from tvtfast.proxies.factory import ProxyFactory
from tvtfast.proxies.fisher import fisher
from tvtfast.proxies.grad_norm import grad_norm
from tvtfast.proxies.grasp import grasp
from tvtfast.proxies.groups import GROUPS, expand_groups
from tvtfast.proxies.inherited_accuracy import (
    HARDLY_TRAINED,
    INHERITED_ACCURACY,
    TRAINED_STEPS,
)
from tvtfast.proxies.jacob_cov import jacob_cov
from tvtfast.proxies.l2_norm import L2_NORM
from tvtfast.proxies.latency import latency, latency_spread
from tvtfast.proxies.length_distortion import curvature, gauss_length, length_distortion
from tvtfast.proxies.linear_regions import linear_regions
from tvtfast.proxies.loss_gradients import LayerGradient, LossGradients, loss_gradients
from tvtfast.proxies.meco import meco
from tvtfast.proxies.naswot import naswot
from tvtfast.proxies.ntk import ntk_condition, ntk_gram
from tvtfast.proxies.ntk_trace import ntk_trace
from tvtfast.proxies.other_loss import refuse_other_loss
from tvtfast.proxies.peak_memory import peak_memory
from tvtfast.proxies.plain import plain
from tvtfast.proxies.relations import RELATIONS
from tvtfast.proxies.snip import snip
from tvtfast.proxies.swap import swap
from tvtfast.proxies.synflow import synflow
from tvtfast.proxies.teacher_aware import TEACHER_AWARE, teacher_aware
from tvtfast.proxies.throughput import THROUGHPUT, THROUGHPUT_SPREAD
from tvtfast.proxies.tvt import TVT
from tvtfast.proxies.weight_norm import WEIGHT_NORM, weight_norm
from tvtfast.proxies.zen import zen
from tvtfast.proxies.zico import zico

__all__ = [
    "AZ_NAS",
    "BASELINES",
    "CALIBRATED",
    "GROUPS",
    "HARDLY_TRAINED",
    "INHERITED_ACCURACY",
    "L2_NORM",
    "PLUGINS",
    "RELATIONS",
    "TEACHER_AWARE",
    "THROUGHPUT",
    "THROUGHPUT_SPREAD",
    "TRAINED_STEPS",
    "TVT",
    "WEIGHT_NORM",
    "CombinedProxy",
    "DerivedProxy",
    "LayerGradient",
    "LossGradients",
    "Proxy",
    "ProxyFactory",
    "ProxyInputs",
    "UndeclaredInputError",
    "UndefinedScoreError",
    "attention_entropy",
    "available",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
    "beside_later",
    "constrained_proxies",
    "curvature",
    "diswot",
    "dss",
    "expand_groups",
    "fisher",
    "gauss_length",
    "get",
    "grad_norm",
    "grasp",
    "head_similarity",
    "jacob_cov",
    "latency",
    "latency_spread",
    "length_distortion",
    "linear_regions",
    "loss_gradients",
    "macs_of",
    "made_later",
    "meco",
    "naswot",
    "ntk_condition",
    "ntk_gram",
    "ntk_trace",
    "peak_memory",
    "plain",
    "refuse_other_loss",
    "register",
    "resolve",
    "snip",
    "swap",
    "synflow",
    "teacher_aware",
    "weight_norm",
    "zen",
    "zico",
]

PLUGINS.open()
