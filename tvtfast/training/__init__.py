"""What every training shares: recipe, trainer, losses, checkpoints, processes."""

from tvtfast.training import losses
from tvtfast.training.guide import Distillation
from tvtfast.training.recipe import STUDENT_RECIPE, TEACHER_RECIPE, Recipe
from tvtfast.training.run_folder import TrainingError
from tvtfast.training.tokens import ProgressiveTokens

__all__ = [
    "STUDENT_RECIPE",
    "TEACHER_RECIPE",
    "Distillation",
    "ProgressiveTokens",
    "Recipe",
    "TrainingError",
    "losses",
]
