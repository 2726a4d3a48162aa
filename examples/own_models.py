"""Use the metrics in your own code: any module as candidate, any module as teacher."""

import torch

import tvtfast
from tvtfast.data import frozen_batch
from tvtfast.models import last_features

# isort: split
# beside a CPU-only torch, timm can be imported once tvtfast.models has been
import timm

batch = frozen_batch("digits", batch_size=8)
students = [
    timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, depth=depth)
    for depth in (2, 4)
]
for student in students:
    tvtfast.initialize_(student, seed=0)

convnet = tvtfast.initialize_(
    torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 64, 3, stride=2, padding=1),
    ),
    seed=0,
)
teacher = tvtfast.load_teacher(convnet, feature_fn=lambda module, images: module(images))

table = tvtfast.score(students, teacher=teacher, images=batch)
print(table)

features = last_features(students[0], batch.images)
print("one attention map per image:", tuple(features.attention_map().shape))
