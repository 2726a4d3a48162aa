"""A student of tvtfast in timm's distillation task, and the same loss by tvtfast itself."""

import time

import torch

import tvtfast
from tvtfast.training.losses import SoftDistillation

# isort: split
# beside a CPU-only torch, timm can be imported once tvtfast.models has been
from timm.task import LogitDistillationTask

CLASSES = 10
torch.manual_seed(0)
images, labels = torch.randn(4, 3, 32, 32), torch.tensor([3, 1, 4, 1])
space = tvtfast.spaces.get("autoformer-tiny")
(arch,) = space.sample(1, seed=0)
student = tvtfast.build(arch, space=space, num_classes=CLASSES, img_size=32, patch_size=8)
teacher = tvtfast.load_teacher("resnet20", num_classes=CLASSES, random_weights=True)
task = LogitDistillationTask(
    student, teacher.module, criterion=torch.nn.CrossEntropyLoss(), temperature=4, verbose=False
)
loss = SoftDistillation(temperature=4)


def best_time(value):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        torch.autograd.grad(found := value(), student.head.weight)
        seconds.append(time.perf_counter() - started)
    return found.item(), min(seconds) * 1e3


value, took = best_time(lambda: task(images, labels)["kd_loss"])
print(f"timm    {value:.7f} in {took:.1f} ms, with a gradient; a mean over images")
value, took = best_time(lambda: loss(student(images), teacher(images)))
print(f"tvtfast {CLASSES * value:.7f} in {took:.1f} ms, with a gradient; times its classes")
