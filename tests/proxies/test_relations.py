"""The relation proxies from images to table, against the definitions in fp64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import normalize

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.data import frozen_batch
from tvtfast.models import CifarResNet, SpatialFeatures, last_features
from tvtfast.scoring.candidates import ArchCandidate

TINY, PIT = spaces.get("autoformer-tiny"), spaces.get("pit")
DEFINED = [name for name in proxies.RELATIONS if name != "relation_ickd"]


def gram_rows(x):
    return normalize(x @ x.mT, dim=-1)


def congruence(x):
    cosine = normalize(x) @ normalize(x).T
    return sum(math.exp(-0.8) * 0.8**p / math.factorial(p) * cosine**p for p in range(3))


def lengths(x):
    return (x[:, None] - x[None]).square().sum(-1).sqrt()


def angles(x):
    towards = normalize(x[None] - x[:, None], dim=-1)
    return towards @ towards.mT


def nst(student, teacher):
    student, teacher = normalize(student, dim=-1), normalize(teacher, dim=-1)
    return ((student @ student.mT) ** 2).mean() - 2 * ((student @ teacher.mT) ** 2).mean()


def definitions(student, teacher):
    """Every relation of features ``[B, C, H, W]``, both resized to the larger grid."""
    size = [max(student.shape[i], teacher.shape[i]) for i in (2, 3)]
    student, teacher = (
        F.interpolate(x.double(), size, mode="bilinear", align_corners=False)
        for x in (student, teacher)
    )
    s, t = student.flatten(1), teacher.flatten(1)
    values = {
        "relation_batch_similarity": F.mse_loss(gram_rows(s), gram_rows(t)),
        "relation_cc": F.mse_loss(congruence(s), congruence(t)),
        "relation_distance": F.mse_loss(lengths(s), lengths(t)),
        "relation_rkd_angle": F.mse_loss(angles(s), angles(t)),
        "relation_nst": nst(student.flatten(2), teacher.flatten(2)),
    }
    if student.shape[1] == teacher.shape[1]:
        s, t = gram_rows(student.flatten(2)), gram_rows(teacher.flatten(2))
        values["relation_ickd"] = (s - t).square().sum() / (len(s) * s.shape[1])
    return {name: -value.item() for name, value in values.items()}


@pytest.fixture(scope="module")
def batch():
    return frozen_batch("digits", 6)


def test_every_relation_is_a_proxy():
    assert set(proxies.RELATIONS) <= set(proxies.available())
    for name in proxies.RELATIONS:
        proxy = proxies.get(name)
        assert proxy.higher_is_better and proxy.needs == {"weights", "images", "teacher"}


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize(("space", "patch"), [(TINY, 2), (TINY, 4), (PIT, 8)])
def test_scores_are_the_definitions(space, patch, dtype, batch, teacher):
    """Student grids larger than the teacher's, which is 8 x 8, equal to it, and smaller."""
    archs = space.sample(2, 0)
    table = tvtfast.score(
        archs,
        space=space,
        proxies=proxies.RELATIONS,
        teacher=teacher,
        images=batch,
        dtype=dtype,
        patch_size=patch,
    )
    truth = teacher.features(batch.images)[-1].x
    for row, arch in enumerate(archs):
        module = tvtfast.build(arch, space=space, img_size=32, num_classes=10, patch_size=patch)
        module = tvtfast.initialize_(module, seed=0).double()
        with torch.no_grad():
            student = module.forward_intermediates(
                batch.images.double(), 1, intermediates_only=True
            )[0]
        for name, expected in definitions(student, truth).items():
            value = table.to_pandas()[name][row]
            tolerance = 1e-3 if dtype == "float32" else 1e-6
            assert value == pytest.approx(expected, rel=tolerance), name


def test_populations_share_their_forward_passes(batch, teacher, monkeypatch):
    """No module is built, and each candidate has the scores it has alone."""

    def refuse(*arguments):
        raise AssertionError("a module was built")

    monkeypatch.setattr(ArchCandidate, "module", refuse)
    archs = PIT.sample(4, 0)
    settings = {"space": PIT, "proxies": proxies.RELATIONS, "teacher": teacher, "images": batch}
    frame = tvtfast.score(archs, patch_size=8, **settings).to_pandas()
    assert frame[DEFINED].notna().all(axis=None)
    for row, arch in enumerate(archs):
        alone = tvtfast.score([arch], patch_size=8, **settings).to_pandas()
        expected = frame[DEFINED].iloc[row].tolist()
        assert alone[DEFINED].iloc[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_a_score_of_features_that_reads_more_says_what_it_lacks(batch):
    reads = proxies.Proxy(
        "reads", lambda inputs: inputs.flops, needs=frozenset({"images"}), of_features=True
    )
    table = tvtfast.score(PIT.sample(2, 0), space=PIT, proxies=(reads,), images=batch, patch_size=8)
    assert table.status["reads"].tolist() == ["error"] * 2
    assert "'flops'" in table.reasons["reads"][0]


def test_unequal_channels_are_unsupported_with_the_reason(batch, teacher):
    arch = TINY.sample(1, 0)[0]
    table = tvtfast.score(
        [arch],
        space=TINY,
        proxies=proxies.RELATIONS,
        teacher=teacher,
        images=batch,
        patch_size=16,
    )
    assert table.status["relation_ickd"].tolist() == ["unsupported"]
    reason = table.reasons["relation_ickd"][0]
    assert f"the student has {arch.hidden_dim}, the teacher 64; choose another" in reason
    assert all(table.status[name].tolist() == ["ok"] for name in DEFINED)


def test_channels_of_equal_number(batch, teacher):
    """A student of the teacher's width, on a smaller grid and with another memory layout."""
    module = nn.Conv2d(3, 64, 8, 8).to(memory_format=torch.channels_last)
    table = tvtfast.score(
        [module],
        proxies=proxies.RELATIONS,
        teacher=teacher,
        images=batch,
        feature_fn=lambda module, images: module(images),
    )
    with torch.no_grad():
        student = module(batch.images)
    expected = definitions(student, teacher.features(batch.images)[-1].x)
    assert expected.keys() == set(proxies.RELATIONS)
    for name, value in expected.items():
        assert table.to_pandas()[name][0] == pytest.approx(value, rel=1e-3), name


def test_a_student_like_the_teacher_scores_best(batch, teacher):
    """The teacher itself, another draw of it, and a network of another family."""
    other = tvtfast.initialize_(CifarResNet(8, 10), seed=2)
    plain = nn.Conv2d(3, 64, 4, 4)

    def read(module, images):
        return module(images) if module is plain else last_features(module, images)

    table = tvtfast.score(
        [teacher.module, other, plain],
        proxies=proxies.RELATIONS,
        teacher=teacher,
        images=batch,
        feature_fn=read,
    ).to_pandas()
    for name in proxies.RELATIONS:
        assert table[name].idxmax() == 0, name
        if name != "relation_nst":
            assert table[name][0] == pytest.approx(0, abs=1e-9), name


def test_tokens_and_maps_hold_the_same_features():
    tokens = torch.randn(2, 1 + 12, 8)
    features = tokens[:, 1:].mT.reshape(2, 8, 3, 4)
    of_tokens, of_map = SpatialFeatures(tokens, (3, 4), 1), SpatialFeatures(features)
    assert torch.equal(of_tokens.channels(), of_map.channels())
    one, other = (x.samples() @ x.samples().T for x in (of_tokens, of_map))
    torch.testing.assert_close(one, other)
    assert of_tokens.samples().data_ptr() == tokens[:, 1:].data_ptr(), "no copy"
    resized = of_tokens.resized((5, 4))
    assert resized.size == (5, 4)
    torch.testing.assert_close(
        resized.x, F.interpolate(features, (5, 4), mode="bilinear", align_corners=False)
    )
    assert of_tokens.resized((3, 4)) is of_tokens
    assert SpatialFeatures(features.bfloat16()).resized((5, 4)).x.dtype == torch.float32
