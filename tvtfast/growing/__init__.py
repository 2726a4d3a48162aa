"""Auto-scaling of As-ViT: a topology grows into a family of models."""

from tvtfast.growing.family import Family, grow
from tvtfast.growing.on_paper import on_paper
from tvtfast.growing.picks import Pick
from tvtfast.growing.record import write_family
from tvtfast.growing.rule import Grown, GrowthRules, GrowthStep

__all__ = [
    "Family",
    "Grown",
    "GrowthRules",
    "GrowthStep",
    "Pick",
    "grow",
    "on_paper",
    "write_family",
]
