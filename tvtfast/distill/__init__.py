"""Teachers and, from them, students."""

from tvtfast.distill.default_teacher import digits_teacher
from tvtfast.distill.training import train_cifar_resnet

__all__ = ["digits_teacher", "train_cifar_resnet"]
