"""FLOPs of modules that torch's counter stumbles over, or does not see whole."""

from __future__ import annotations

import timm
import torch
from torch import nn

import tvtfast
from tvtfast.models import count_flops
from tvtfast.pipeline.reporting import _teacher_flops

ARCH = {"base_dim": 4, "mlp_ratio": 2, "depth": [2, 1, 2], "num_heads": [1, 2, 4]}
OPTIONS = {"img_size": 64, "num_classes": 7}


class GivenItsToken(nn.Module):
    """Passes a parameter to a module."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 3))
        self.layer = nn.Linear(3, 5)

    def forward(self, images):
        return self.layer(self.token.expand(len(images), -1)) + self.layer(self.token)


def test_attention_is_counted_and_modes_stay():
    model = tvtfast.build(ARCH, space="pit", **OPTIONS).train()
    space = tvtfast.spaces.get("pit")
    assert count_flops(model, torch.zeros(1, 3, 64, 64)) == space.flops(ARCH, **OPTIONS)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())


def test_the_report_of_a_run_counts_every_teacher():
    given = GivenItsToken()
    assert _teacher_flops(tvtfast.Teacher(given, name="own"), 8) == 2 * 2 * 15
    vit = timm.create_model("test_vit", img_size=32, patch_size=8, num_classes=3)
    (attention, *_) = (m for m in vit.modules() if type(m).__name__ == "Attention")
    fused = _teacher_flops(tvtfast.Teacher(vit, name="vit"), 32)
    for block in vit.blocks:
        block.attn.fused_attn = False
    assert attention.fused_attn is False
    assert _teacher_flops(tvtfast.Teacher(vit, name="vit"), 32) == fused
