"""Teachers and, from them, students."""

from tvtfast.distill.default_teacher import (
    DIGITS_TEACHER,
    DIGITS_TEACHER_RECIPE,
    digits_teacher,
)
from tvtfast.distill.student import TrainedStudent, distill
from tvtfast.distill.teacher import train_teacher
from tvtfast.training import losses
from tvtfast.training.guide import Distillation
from tvtfast.training.recipe import STUDENT_RECIPE, TEACHER_RECIPE, Recipe
from tvtfast.training.tokens import ProgressiveTokens
from tvtfast.training.training_folder import TrainingError

__all__ = [
    "DIGITS_TEACHER",
    "DIGITS_TEACHER_RECIPE",
    "STUDENT_RECIPE",
    "TEACHER_RECIPE",
    "Distillation",
    "ProgressiveTokens",
    "Recipe",
    "TrainedStudent",
    "TrainingError",
    "digits_teacher",
    "distill",
    "losses",
    "train_teacher",
]
