"""What every training shares: recipe, trainer, losses, checkpoints, processes."""

from tvtfast.training import losses
from tvtfast.training.guide import Distillation
from tvtfast.training.recipe import STUDENT_RECIPE, TEACHER_RECIPE, Recipe
from tvtfast.training.recipes import RECIPES, recipe_of
from tvtfast.training.tokens import ProgressiveTokens
from tvtfast.training.training_folder import TrainingError

__all__ = [
    "RECIPES",
    "STUDENT_RECIPE",
    "TEACHER_RECIPE",
    "Distillation",
    "ProgressiveTokens",
    "Recipe",
    "TrainingError",
    "losses",
    "recipe_of",
]
