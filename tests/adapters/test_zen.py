"""Scores by the arguments of ZenNAS, TinyNAS and AZ-NAS."""

import statistics

import pytest
import torch

import tvtfast
from tvtfast.adapters import az_nas, zen

SPACE = tvtfast.spaces.get("autoformer-tiny")


def small(depth=2, heads=2):
    """An architecture far below those that are searched."""
    sizes = {"embed_dim": [48], "num_heads": [heads], "mlp_ratio": [2.0]}
    return SPACE.decode({"layer_num": depth, **{key: one * depth for key, one in sizes.items()}})


@pytest.fixture(scope="module")
def student():
    return tvtfast.build(small(), space=SPACE, num_classes=10, img_size=32, patch_size=8)


def test_zennas_repeats_with_other_seeds(student):
    arguments = {"mixup_gamma": 1e-2, "resolution": 32, "batch_size": 4, "repeat": 2}
    info = zen.compute_nas_score(gpu=None, model=student, **arguments)
    scores = [tvtfast.proxies.zen(student, img_size=32, seed=seed).item() for seed in (0, 1)]
    assert info["avg_nas_score"] == pytest.approx(statistics.fmean(scores), rel=1e-9)
    assert info["std_nas_score"] == pytest.approx(statistics.pstdev(scores), rel=1e-9)
    assert info["avg_precision"] == pytest.approx(1.96 * info["std_nas_score"] / 2**0.5)


def test_other_proxies_see_random_images(student, teacher):
    settings = {"proxy": "teacher_aware", "teacher": teacher}
    info = zen.compute_nas_score(None, student, 1.0, 32, 4, 1, **settings)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    measure = tvtfast.Measure("teacher_aware", teacher=teacher)
    assert info["nas_score_list"] == [measure(student, images)]


def test_what_the_hosts_would_swallow_is_a_warning():
    convnet = tvtfast.models.CifarResNet(8, 10)
    with (
        pytest.warns(UserWarning, match="CifarResNet has no score: .*calls a batch norm"),
        pytest.raises(tvtfast.ScoringError, match="batch norm"),
    ):
        zen.compute_nas_score(None, convnet, 0.01, 32, 4, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 32, 4, 1), "mixup_gamma=0.1: give False and, for zen, 0.01"),
        ((0.01, 32, 4, 1, True), "fp16=True"),
        ((0.01, 32, 4, 0), "repeat is 0"),
    ],
)
def test_settings_that_have_no_meaning_are_refused(student, arguments, message):
    with pytest.raises(ValueError, match=message):
        zen.compute_nas_score(None, student, *arguments)


class Registry:
    """TinyNAS' table of scores, as far as a decorator tells."""

    def __init__(self):
        self.known = {}

    def register_module(self, module_name):
        return lambda cls: self.known.setdefault(module_name, cls)


def test_tinynas_builds_a_score_from_its_configuration(student):
    scores = Registry()
    zen.register(scores)
    config = {"image_size": 32, "proxy": "grad_norm", "batch_size": 4, "repeat": 2}
    score = scores.known["tvtfast"](**config, cfg=object(), logger=object())
    info = score(student)
    expected = zen.compute_nas_score(None, student, 1.0, 32, 4, 2, proxy="grad_norm")
    assert expected.items() >= info.items()
    with pytest.raises(TypeError, match="image_sise"):
        scores.known["tvtfast"](image_sise=32)


def test_az_nas_has_the_four_scores_of_its_paper(student):
    found = az_nas.compute_nas_score(student, "cpu", None, 32, 4)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    measure = tvtfast.Measure(tuple(az_nas.SCORES.values()))
    assert found == dict(zip(az_nas.SCORES, measure(student, images).values(), strict=True))
    loader = [(torch.cat([images, images + 1]), torch.zeros(8))]
    assert az_nas.compute_nas_score(student, "cpu", loader, 32, 4) == found
