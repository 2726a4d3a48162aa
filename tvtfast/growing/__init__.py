"""Auto-scaling of As-ViT: a topology grows into a family of models."""

from tvtfast.growing.family import Family, grow
from tvtfast.growing.rule import Grown, GrowthRules

__all__ = ["Family", "Grown", "GrowthRules", "grow"]
