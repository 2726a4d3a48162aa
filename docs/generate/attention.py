"""Draw where a teacher and untrained students look: ``python -m docs.generate.attention``."""

from __future__ import annotations

from pathlib import Path

import torch

import tvtfast
from tvtfast.data import frozen_batch
from tvtfast.models import last_features
from tvtfast.report import AttentionPanel, attention_maps_figure
from tvtfast.searching.report import attention_panel

PICTURE = Path(__file__).parents[1] / "pictures" / "attention.png"


@torch.no_grad()
def panel() -> AttentionPanel:
    """Digits with the maps of the teacher and of the best and worst of 50 untrained students."""
    batch = frozen_batch("digits", batch_size=32)
    space = tvtfast.spaces.get("autoformer-tiny")
    teacher = tvtfast.distill.digits_teacher()
    archs = space.sample(50, seed=0)
    table = tvtfast.score(
        archs, space=space, proxies="teacher_aware", teacher=teacher, images=batch
    )
    scores = table["teacher_aware"]
    features = {"teacher": teacher.features(batch.images, normalization=batch.normalization)[-1]}
    for name, row in (("best of 50", scores.argmax()), ("worst of 50", scores.argmin())):
        model = tvtfast.build(archs[row], space=space, num_classes=10, img_size=32, patch_size=4)
        features[name] = last_features(model, batch.images)
    return attention_panel(batch, features)


if __name__ == "__main__":
    attention_maps_figure(panel()).savefig(PICTURE, dpi=110)
