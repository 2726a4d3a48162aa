"""Networks that are not of tvtfast: what serves them, and why the rest does not."""

from __future__ import annotations

import pytest
import timm
import torch

import tvtfast
from tvtfast import proxies
from tvtfast.data import frozen_batch
from tvtfast.models import CifarResNet

SERVED = {
    "attention_entropy",
    "az_expressivity",
    "az_progressivity",
    "dss",
    "head_similarity",
    "jacob_cov",
    "meco",
    "naswot",
    "ntk_trace",
    "swap",
    "zen",
}
NOT_SERVED = {
    "az_trainability": "features of block 1 are not made of those before it",
    "diswot": "features are copies for the reader",
    "linear_regions": "in a linear region of its own",
}


def vit():
    torch.manual_seed(0)
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=10
    )


def test_vit_of_timm(teacher):
    names = (*SERVED, *NOT_SERVED)
    batch = frozen_batch("digits", 6)
    table = tvtfast.score([vit()], proxies=names, images=batch, teacher=teacher)
    assert {name for name in names if table.status[name][0] == "ok"} == SERVED
    for name, reason in NOT_SERVED.items():
        assert reason in table.reasons[name][0]


def test_convnet_without_attention_and_layer_norms():
    module = tvtfast.initialize_(CifarResNet(8, 10), seed=1)
    names = ("dss", "attention_entropy", "zen", "jacob_cov", "az_trainability")
    table = tvtfast.score([module], proxies=names, images=frozen_batch("digits", 6))
    assert [table.status[name][0] for name in names] == ["unsupported"] * 3 + ["ok"] * 2
    assert "has no attention weights" in table.reasons["dss"][0]
    assert "calls a batch norm" in table.reasons["zen"][0]


def test_a_classifier_of_zeros_lets_no_gradient_through():
    module = vit()
    torch.nn.init.zeros_(module.head.weight)
    batch = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for score in (
        lambda: proxies.dss(module, img_size=32),
        lambda: proxies.jacob_cov(module, batch),
    ):
        with pytest.raises(proxies.UndefinedScoreError, match="classifier initialised with zeros"):
            score()
