"""The end-to-end claim: rankings of real architectures on real images with a trained teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import tvtfast
from tvtfast.data import IMAGENET_NORMALIZATION, load_vit_bench

PUBLISHED_TAU = {
    "c100_kd_acc": 0.613,
    "flower_kd_acc": 0.724,
    "chaoyang_kd_acc": 0.294,
    "c100_base_acc": -0.319,
    "flower_base_acc": 0.300,
    "chaoyang_base_acc": 0.054,
    "imagenet_super_acc": -0.148,
}


@pytest.fixture(scope="module")
def rows(shared_data):
    return load_vit_bench(shared_data / "vit_bench_101_dev.json", "autoformer")


def test_weight_norm_ranks_as_its_closed_form(rows):
    table = tvtfast.score(
        rows["arch"], space="autoformer-tiny", proxies=("weight_norm",), num_classes=100
    )
    frame = tvtfast.correlate(table, rows.drop(columns="arch"), n_resamples=1)
    taus = frame.query("proxy == 'weight_norm'").set_index("truth")["tau"]
    for truth, expected in PUBLISHED_TAU.items():
        assert taus[truth] == pytest.approx(expected, abs=0.01), truth


@pytest.mark.slow
def test_two_weight_draws_rank_alike(rows, shared_data):
    """Shared weights: tau >= 0.85 between seeds, where independent draws reach 0.31."""
    with np.load(shared_data / "cifar100_subset.npz") as archive:
        pixels = torch.from_numpy(archive["x_train"][:32]).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (IMAGENET_NORMALIZATION.mean, IMAGENET_NORMALIZATION.std)
    )
    images = torch.nn.functional.interpolate(
        (pixels - mean) / std, (224, 224), mode="bilinear", align_corners=False
    )
    teacher = tvtfast.load_teacher(shared_data / "cifar10_resnet56-4bfd9763.th")
    scores = [
        tvtfast.score(
            rows["arch"],
            space="autoformer-tiny",
            proxies=("teacher_aware",),
            teacher=teacher,
            images=images,
            seed=seed,
        ).to_pandas()["teacher_aware"]
        for seed in (0, 1)
    ]
    assert stats.kendalltau(*scores).statistic >= 0.85
