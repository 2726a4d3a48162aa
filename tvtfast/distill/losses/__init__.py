"""What a student is trained to minimise when a teacher guides it."""

from tvtfast.distill.losses.attention import AttentionGuidance
from tvtfast.distill.losses.criterion import SCHEDULES, DistillationLoss, weight_factor
from tvtfast.distill.losses.guidance import FeatureGuidance, default_pairs
from tvtfast.distill.losses.linear import LinearGuidance
from tvtfast.distill.losses.logits import HardDistillation, SoftDistillation
from tvtfast.distill.losses.similarity import SimilarityGuidance

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
