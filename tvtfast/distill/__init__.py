"""Teachers and, from them, students."""

from tvtfast.distill import losses
from tvtfast.distill.default_teacher import digits_teacher
from tvtfast.distill.guide import Distillation
from tvtfast.distill.recipe import STUDENT_RECIPE, TEACHER_RECIPE, Recipe
from tvtfast.distill.run_folder import TrainingError
from tvtfast.distill.student import TrainedStudent, distill
from tvtfast.distill.teacher import train_teacher
from tvtfast.distill.tokens import ProgressiveTokens
from tvtfast.distill.training import train_cifar_resnet

__all__ = [
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
    "train_cifar_resnet",
    "train_teacher",
]
