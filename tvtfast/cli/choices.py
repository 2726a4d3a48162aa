"""What help texts list, as plain names: a command shows its help without torch.

A test holds each of these equal to the table it stands for.
"""

from __future__ import annotations

from importlib.metadata import entry_points

PROXIES = (
    "attention_entropy",
    "az_expressivity",
    "az_nas",
    "az_progressivity",
    "az_trainability",
    "calibrated",
    "curvature",
    "diswot",
    "dss",
    "fisher",
    "flops",
    "gauss_length",
    "grad_norm",
    "grasp",
    "head_similarity",
    "inherited_accuracy",
    "jacob_cov",
    "l2_norm",
    "latency",
    "latency_spread",
    "length_distortion",
    "linear_regions",
    "macs",
    "meco",
    "naswot",
    "ntk_condition",
    "ntk_trace",
    "params",
    "peak_memory",
    "plain",
    "relation_batch_similarity",
    "relation_cc",
    "relation_distance",
    "relation_ickd",
    "relation_nst",
    "relation_rkd_angle",
    "snip",
    "swap",
    "synflow",
    "teacher_aware",
    "throughput",
    "throughput_spread",
    "tvt",
    "weight_norm",
    "zen",
    "zico",
)
"""`tvtfast.proxies.available`."""
PROXY_GROUPS = ("zero-cost",)
"""`tvtfast.proxies.GROUPS`."""
METHODS = ("minmax_sum", "rank_sum", "zscore_sum", "product", "log_rank_sum")
"""`tvtfast.scoring.ranking.METHODS`."""
DTYPES = ("float32", "bfloat16", "float16", "float64")
"""`tvtfast.scoring.inputs.DTYPES`."""
TRAINING_DTYPES = ("float32", "bfloat16", "float16")
"""`tvtfast.training.recipe.DTYPES`."""
PROTOCOLS = ("fixed", "paper")
"""`tvtfast.scoring.settings.PROTOCOLS`."""
CODE_BASES = ("autoformer", "tf-tas", "auto-prox", "timm", "vitas")
"""`tvtfast.models.RENAME_MAPS`."""
DATA_SETS = (
    "digits",
    "cifar10",
    "cifar100",
    "flowers102",
    "chaoyang",
    "tiny-imagenet",
    "imagenet",
    "npz",
    "imagefolder",
)
"""`tvtfast.data.registry.DATASETS`."""


def proxy_names() -> tuple[str, ...]:
    """`PROXIES`, and those that installed packages bring along."""
    brought = {entry.name for entry in entry_points(group="tvtfast.proxies")}
    return tuple(sorted({*PROXIES, *brought}))
