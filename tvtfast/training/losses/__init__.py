"""What a student is trained to minimise when a teacher guides it."""

from tvtfast.training.losses.attention import AttentionGuidance
from tvtfast.training.losses.criterion import SCHEDULES, DistillationLoss, weight_factor
from tvtfast.training.losses.guidance import FeatureGuidance, default_pairs
from tvtfast.training.losses.linear import LinearGuidance
from tvtfast.training.losses.logits import HardDistillation, SoftDistillation
from tvtfast.training.losses.similarity import SimilarityGuidance

__all__ = [
    "SCHEDULES",
    "AttentionGuidance",
    "DistillationLoss",
    "FeatureGuidance",
    "HardDistillation",
    "LinearGuidance",
    "SimilarityGuidance",
    "SoftDistillation",
    "default_pairs",
    "weight_factor",
]
