"""Candidate models, teachers, and how to read spatial features from either."""

from tvtfast.models.autoformer import AutoFormer
from tvtfast.models.builder import build, register_model
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.checkpoint import CheckpointError
from tvtfast.models.cifar_resnet import CifarResNet
from tvtfast.models.features import (
    FeatureFn,
    SpatialFeatures,
    UnsupportedModelError,
    extract_features,
    last_features,
)
from tvtfast.models.pit import PiT
from tvtfast.models.teacher import Teacher, load_teacher

__all__ = [
    "AutoFormer",
    "CandidateModel",
    "CheckpointError",
    "CifarResNet",
    "FeatureFn",
    "PiT",
    "SpatialFeatures",
    "Teacher",
    "UnsupportedModelError",
    "build",
    "extract_features",
    "last_features",
    "load_teacher",
    "register_model",
]
