"""One name of each family of timm, scored untrained, with what each needs of the images."""

from __future__ import annotations

import pytest
import torch

import tvtfast
from tvtfast.data import FrozenBatch
from tvtfast.models import CifarResNet

SCORED = [
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_cr_tiny_224",
    "pit_ti_224",
    "twins_svt_small",
    "cait_xxs24_224",
    "eva02_tiny_patch14_224",
    "mvitv2_tiny",
    "coatnet_nano_rw_224",
    "volo_d1_224",
    "beit_base_patch16_224",
    "xcit_nano_12_p16_224",
    "maxvit_pico_rw_256",
    "convnext_atto",
    "vit_relpos_small_patch16_224",
    "tiny_vit_5m_224",
    "mobilevit_xxs",
    "samvit_base_patch16",
    "naflexvit_base_patch16_gap",
]
ONE_POSITION = ["levit_128s"]
"""Of 64 pixels their last features have one position, and there is no map."""
REFUSED = {"vit_tiny_r_s16_p8_224": "leave pixels out; give another img_size"}


@pytest.fixture(scope="module")
def asked():
    generator = torch.Generator().manual_seed(0)
    return {
        "images": FrozenBatch.from_tensors(torch.randn(2, 3, 64, 64, generator=generator)),
        "teacher": tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(8, 10)), input_size=32),
        "proxies": ("teacher_aware", "weight_norm"),
        "num_classes": 10,
    }


@pytest.mark.slow
def test_families_are_scored_in_one_call(asked):
    names = [*SCORED, *ONE_POSITION]
    frame = tvtfast.score(names, **asked).to_pandas().set_index("arch")
    assert frame["weight_norm"].notna().all() and (frame["params"] > 0).all()
    assert frame.loc[SCORED, "teacher_aware"].notna().all()
    assert frame.loc[SCORED, "teacher_aware"].nunique() == len(SCORED)
    assert frame.loc[ONE_POSITION, "teacher_aware"].isna().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_the_images_is_refused_before_anything_is_scored(asked, name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        tvtfast.score([SCORED[0], name], **asked)
