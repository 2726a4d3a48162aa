"""Candidate models, teachers, and how to read spatial features from either."""

import importlib

import wrapt

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.models.asvit import AsViT
from tvtfast.models.attention_stats import attention_stats
from tvtfast.models.autoformer import AutoFormer
from tvtfast.models.builder import blank, build, parameter_rule
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.chain import ChainedModel, Link
from tvtfast.models.checkpoint import CheckpointError
from tvtfast.models.choice_space import ChoiceSpace
from tvtfast.models.cifar_resnet import CifarResNet
from tvtfast.models.class_maps import class_map
from tvtfast.models.features import (
    FeatureFn,
    SpatialFeatures,
    UnsupportedModelError,
    extract_features,
    features_and_outputs,
    last_features,
    pooled_features,
)
from tvtfast.models.flops import count_flops
from tvtfast.models.inherited_weights import (
    InheritedWeights,
    WeightSource,
    as_inherited,
    inherit,
    refuse_supernet,
)
from tvtfast.models.modes import IdentityNorms, temporary_mode
from tvtfast.models.pit import PiT
from tvtfast.models.registry import register_model
from tvtfast.models.released_vitas import load_released_vitas
from tvtfast.models.renamed_weights import rename_weights
from tvtfast.models.renames import RENAME_MAPS, RenameMap
from tvtfast.models.shared_draws import SharedDraws
from tvtfast.models.student import Student, StudentCard, load_student, save_student
from tvtfast.models.tangents import jvp
from tvtfast.models.teacher import Teacher
from tvtfast.models.teacher_sources import load_teacher
from tvtfast.models.vitas_deit import VitasDeit
from tvtfast.models.vitas_twins import VitasTwins
from tvtfast.models.weight_draws import passes_of_draws, run_together

__all__ = [
    "RENAME_MAPS",
    "AsViT",
    "AutoFormer",
    "CandidateModel",
    "ChainedModel",
    "CheckpointError",
    "ChoiceSpace",
    "CifarResNet",
    "FeatureFn",
    "IdentityNorms",
    "InheritedWeights",
    "Link",
    "PiT",
    "RenameMap",
    "SharedDraws",
    "SpatialFeatures",
    "Student",
    "StudentCard",
    "Teacher",
    "UnsupportedModelError",
    "VitasDeit",
    "VitasTwins",
    "WeightSource",
    "as_inherited",
    "attention_stats",
    "blank",
    "build",
    "class_map",
    "count_flops",
    "extract_features",
    "features_and_outputs",
    "inherit",
    "jvp",
    "last_features",
    "load_released_vitas",
    "load_student",
    "load_teacher",
    "parameter_rule",
    "passes_of_draws",
    "pooled_features",
    "refuse_supernet",
    "register_model",
    "rename_weights",
    "run_together",
    "save_student",
    "temporary_mode",
]

ensure_torchvision()  # for whoever imports timm next
wrapt.register_post_import_hook(
    lambda timm: importlib.import_module("tvtfast.models.timm_student"), "timm"
)
