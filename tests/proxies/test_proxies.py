"""T and S against independent fp64 implementations of their definitions."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.data import frozen_batch
from tvtfast.models import SpatialFeatures, UnsupportedModelError, last_features
from tvtfast.report.baselines import COUNTS

TINY = spaces.get("autoformer-tiny")


def published_t(student, teacher):
    """Section 1.2 of the published code: resize, square, mean, normalise, mean squared error."""
    student, teacher = student.double(), teacher.double()
    size = [max(student.shape[i], teacher.shape[i]) for i in (2, 3)]
    maps = []
    for features in (student, teacher):
        resized = F.interpolate(features, size, mode="bilinear", align_corners=False)
        flat = resized.pow(2).mean(1).flatten(1)
        maps.append(flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return -F.mse_loss(maps[0], maps[1]).item()


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=40, deadline=None)
@given(student=sizes, teacher=sizes, channels=st.integers(1, 33), seed=st.integers(0, 99))
def test_teacher_aware_at_all_sizes(student, teacher, channels, seed):
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(3, channels, *student, generator=generator)
    t = torch.randn(3, 5, *teacher, generator=generator)
    truth = published_t(s, t)
    assert proxies.teacher_aware(s, t).item() == pytest.approx(truth, rel=1e-5, abs=1e-9)
    exact = proxies.teacher_aware(s.double(), t.double()).item()
    assert exact == pytest.approx(truth, rel=1e-12, abs=1e-15)


def test_teacher_aware_on_real_features(shared_data):
    """Trained teacher, real images, student larger (14 against 8) and smaller (7 against 8)."""
    batch = frozen_batch(shared_data / "cifar100_subset.npz", 4)
    teacher = tvtfast.load_teacher(shared_data / "cifar10_resnet56-4bfd9763.th")
    seen = F.interpolate(batch.images, (32, 32), mode="bilinear", align_corners=False)
    with torch.no_grad():
        truth = teacher.module.stages(seen)[-1]
    for space, patch in ((TINY, 16), (spaces.get("pit"), 16)):
        arch = space.sample(1, 1)[0]
        module = tvtfast.build(arch, space=space)
        with torch.no_grad():
            ours = module.forward_intermediates(batch.images, 1, intermediates_only=True)[0]
        table = tvtfast.score(
            [arch],
            space=space,
            proxies=("teacher_aware",),
            teacher=teacher,
            images=batch,
            num_classes=100,
            patch_size=patch,
        )
        expected = published_t(ours, truth)
        assert table.to_pandas()["teacher_aware"][0] == pytest.approx(expected, rel=1e-5)


def test_tokens_and_maps_agree():
    tokens = torch.randn(2, 1 + 12, 8)
    features = tokens[:, 1:].mT.reshape(2, 8, 3, 4)
    teacher = torch.randn(2, 6, 4, 4)
    as_tokens = proxies.teacher_aware(SpatialFeatures(tokens, (3, 4), 1), teacher)
    assert as_tokens.item() == pytest.approx(proxies.teacher_aware(features, teacher).item())


def test_teacher_aware_of_a_teacher_with_itself_is_zero():
    features = torch.randn(2, 8, 4, 4)
    assert proxies.teacher_aware(features, 3 * features).item() == pytest.approx(0, abs=1e-12)


SCORES = {
    "weight_norm": lambda model, images: proxies.weight_norm(model),
    "length_distortion": lambda model, images: proxies.length_distortion(model, img_size=16),
    **{
        f"length_distortion of a convolution, {method}": lambda model, images, method=method: (
            proxies.length_distortion(
                nn.Conv2d(3, 4, 8, 8), img_size=16, method=method, feature_fn=nn.Module.__call__
            )
        )
        for method in ("forward", "published")
    },
    "curvature": lambda model, images: proxies.curvature(model, img_size=16, points=6),
    "gauss_length": lambda model, images: proxies.gauss_length(model, img_size=16, points=6),
    **{
        f"ntk_gram, {method}": lambda model, images, method=method: proxies.ntk_gram(
            model, images, method=method
        )
        for method in ("layers", "samples", "published")
    },
    "ntk_condition": lambda model, images: proxies.ntk_condition(model, images, method="samples"),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_modules_have_no_history(name):
    """Their docstrings say so, whatever the method and the model; half a gradient is none."""
    model = tvtfast.build(TINY.sample(1, seed=0)[0], space=TINY, img_size=16, patch_size=8)
    assert not SCORES[name](model, torch.randn(2, 3, 16, 16)).requires_grad


def test_teacher_aware_has_a_gradient():
    student, teacher = torch.randn(2, 2, 8, 4, 4, dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: proxies.teacher_aware(x, teacher), student)


def test_weight_norm_is_the_published_sum():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5), nn.LayerNorm(5), nn.Embedding(3, 4)
    )
    expected = sum(math.sqrt(module[i].weight.double().pow(2).sum().item()) for i in (0, 2))
    assert proxies.weight_norm(module).item() == pytest.approx(expected, rel=1e-6)
    assert proxies.weight_norm(nn.ReLU()).item() == 0.0


def closed_form(arch, classes):
    """Expected S of an AutoFormer at initialisation; heads do not enter."""
    d = arch.hidden_dim
    blocks = sum(math.sqrt(3) * d + d + 2 * d * math.sqrt(r) for r in arch.mlp_ratio)
    return math.sqrt(d / 3) + 0.02 * (blocks + math.sqrt(d * classes))


def test_weight_norm_matches_the_closed_form():
    archs = TINY.sample(6, 0)
    values = tvtfast.score(archs, space=TINY, proxies=("weight_norm",)).to_pandas()["weight_norm"]
    for arch, value in zip(archs, values, strict=True):
        assert value == pytest.approx(closed_form(arch, 100), rel=0.005)


def test_closed_form_oracle():
    ratios = (3.5, 4.0, 3.5, 4.0, 3.5, 3.5, 4.0, 3.5, 4.0, 4.0, 4.0, 3.5)
    arch = TINY.decode(
        {"hidden_dim": 192, "depth": 12, "mlp_ratio": list(ratios), "num_heads": [3] * 12}
    )
    assert closed_form(arch, 100) == pytest.approx(315.03, abs=0.01)


def test_names_and_registry():
    assert {"teacher_aware", "weight_norm", "tvt", "params", "flops"} <= set(proxies.available())
    with pytest.raises(ValueError, match="unknown proxy 'tvtt'; known: "):
        proxies.get("tvtt")
    with pytest.raises(ValueError, match="registered already"):
        proxies.register(proxies.Proxy("params", lambda inputs: 0.0))
    with pytest.raises(ValueError, match="needs luck; known: weights"):
        proxies.Proxy("lucky", lambda inputs: 0.0, needs=frozenset({"luck"}))
    with pytest.raises(ValueError, match="no proxy was named"):
        proxies.resolve([])


def test_flat_features_are_refused():
    with pytest.raises(UnsupportedModelError, match="are not spatial"):
        proxies.teacher_aware(torch.zeros(2, 8), torch.zeros(2, 8, 4, 4))
    with pytest.raises(UnsupportedModelError, match="returned no features"):
        last_features(nn.Identity(), torch.zeros(1), feature_fn=lambda m, x: [])


def test_a_factory_makes_proxies_from_an_argument(monkeypatch):
    monkeypatch.setattr("tvtfast.proxies.base._proxies", dict(proxies.base._proxies))

    def make(argument):
        return proxies.Proxy("constant", lambda inputs: float(argument))

    proxies.register(proxies.ProxyFactory("constant", make, "a number", "NUMBER"))
    arch = TINY.sample(1, 0)
    table = tvtfast.score(arch, space=TINY, proxies=["constant:2.5"]).to_pandas()
    assert table["constant"].tolist() == [2.5]
    with pytest.raises(ValueError, match="'constant' needs a number; give constant:NUMBER"):
        proxies.get("constant")
    with pytest.raises(ValueError, match="proxy 'params' has no options; leave ':1' out"):
        proxies.get("params:1")
    with pytest.raises(ValueError, match="registered already"):
        proxies.register(proxies.Proxy("constant", lambda inputs: 0.0))


def test_baselines_are_what_spaces_count_and_macs_are_half_of_one():
    assert (*proxies.BASELINES, "macs") == spaces.METRICS
    assert set(COUNTS) == set(spaces.METRICS)


def test_naming_a_factory_imports_nothing_until_it_is_asked():
    code = (
        "import sys; from tvtfast import proxies; proxies.available(); "
        "sys.exit('tvtfast.supernet' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
