"""Scoring: one row per candidate, one status per cell, nothing computed twice."""

from __future__ import annotations

import math
import pickle

import pandas as pd
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.common import optional
from tvtfast.data import frozen_batch, load_dataset
from tvtfast.models import CifarResNet
from tvtfast.proxies import Proxy
from tvtfast.proxies.weight_norm import normed_weights
from tvtfast.scoring.cells import STATUSES
from tvtfast.scoring.store import ScoreStore

TINY = spaces.get("autoformer-tiny")
OPTIONS = {"patch_size": 16}


@pytest.fixture(scope="module")
def batch():
    return frozen_batch("digits", 4)


@pytest.fixture(scope="module")
def archs():
    return TINY.sample(4, 0)


@pytest.fixture
def run(batch, teacher):
    def run(candidates, **changes):
        arguments = {"space": TINY, "teacher": teacher, "images": batch, **OPTIONS, **changes}
        return tvtfast.score(candidates, **arguments)

    return run


def values(table):
    return table.to_pandas()[["teacher_aware", "weight_norm"]]


def test_columns_counts_and_statuses(run, archs):
    table = run(archs)
    frame = table.to_pandas()
    assert list(frame.columns) == [
        "arch",
        "params",
        "flops",
        "macs",
        "teacher_aware",
        "weight_norm",
    ]
    assert frame["params"].tolist() == [
        TINY.params(a, num_classes=10, img_size=32, patch_size=16) for a in archs
    ]
    assert (table.status == "ok").all(axis=None)
    assert table.counts() == {"ok": 20} | dict.fromkeys(STATUSES[1:], 0)
    assert table.scored == ("teacher_aware", "weight_norm")
    assert [TINY.decode(a) for a in frame["arch"]] == archs


def test_every_encoding_of_an_architecture(run, archs):
    encoded = [archs[0], TINY.to_dict(archs[0]), TINY.encode(archs[0])]
    frame = values(run(encoded))
    assert frame.drop_duplicates().shape[0] == 1


def test_architecture_and_its_built_module_agree(run, archs):
    module = tvtfast.build(archs[0], space=TINY, img_size=32, num_classes=10, patch_size=16, seed=0)
    frame = run([archs[0], module]).to_pandas()
    for column in ("params", "flops", "teacher_aware", "weight_norm"):
        assert frame[column][0] == pytest.approx(frame[column][1], rel=1e-6), column


def test_order_and_company_change_nothing(run, archs):
    together = values(run(archs))
    pd.testing.assert_frame_equal(values(run(archs[::-1])), together[::-1].reset_index(drop=True))
    pd.testing.assert_frame_equal(values(run(archs[2:3])), together[2:3].reset_index(drop=True))


def test_architectures_are_scored_without_building_them(run, archs, monkeypatch):
    expected = values(run(archs))

    def build(*arguments, **options):
        raise AssertionError("a module was built")

    monkeypatch.setattr("tvtfast.scoring.candidates.blank", build)
    pd.testing.assert_frame_equal(values(run(archs)), expected)


def test_a_small_budget_changes_nothing(run, archs):
    pd.testing.assert_frame_equal(values(run(archs, memory=10**6)), values(run(archs)), rtol=1e-6)


def test_proxies_of_both_kinds_of_users(run, archs):
    """Sums over layers and means over images, declared by a user, equal their own definition."""
    layers = Proxy(
        "layers",
        lambda inputs: float(sum(p.norm() ** 2 for p in normed_weights(inputs.module))),
        needs=frozenset({"weights"}),
        per_step=lambda step: sum(norm**2 for norm in step.weight_norms),
    )

    def energy(inputs):
        x = inputs.features.x[..., inputs.features.prefix_tokens :, :]
        return x.square().mean((-2, -1))

    images = Proxy(
        "energy",
        lambda inputs: energy(inputs).mean().item(),
        needs=frozenset({"weights", "images"}),
        per_image=energy,
    )
    together = run(archs, proxies=[layers, images]).to_pandas()
    modules = [
        tvtfast.build(arch, space=TINY, img_size=32, num_classes=10, patch_size=16)
        for arch in archs
    ]
    alone = run(modules, proxies=[layers, images]).to_pandas()
    for column in ("layers", "energy"):
        assert together[column].tolist() == pytest.approx(alone[column].tolist(), rel=1e-5)


def test_weight_draws_give_mean_and_deviation(run, archs):
    singles = [values(run(archs[:2], seed=seed)) for seed in (3, 4, 5)]
    table = run(archs[:2], seed=3, init_seeds=3).to_pandas()
    for column in ("teacher_aware", "weight_norm"):
        drawn = pd.concat([single[column] for single in singles], axis=1)
        assert table[column].tolist() == pytest.approx(drawn.mean(axis=1).tolist())
        assert table[f"{column}_std"].tolist() == pytest.approx(drawn.std(axis=1).tolist())
    assert "params_std" not in table


def test_tvt_combines_over_the_population(run, archs):
    table = run(archs, proxies=["tvt"])
    frame = table.to_pandas()
    scaled = values(table).apply(lambda c: (c - c.min()) / (c.max() - c.min()))
    assert frame["tvt"].tolist() == pytest.approx(scaled.sum(axis=1).tolist())
    assert tvtfast.rank(table).tolist() == pytest.approx(frame["tvt"].tolist())


def test_half_precision_and_double_agree(run, archs):
    exact = values(run(archs[:2], dtype="float64"))
    single = values(run(archs[:2]))
    pd.testing.assert_frame_equal(single, exact, rtol=1e-5)
    pd.testing.assert_frame_equal(values(run(archs[:2], dtype="bfloat16")), exact, rtol=2e-2)


def test_timm_models_and_user_modules(run):
    timm = pytest.importorskip("timm")
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, num_classes=10)

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 4, 4)

        def forward(self, images):
            return self.conv(images).mean((2, 3))

    plain = Plain()
    table = run([vit, plain])
    assert table.status["teacher_aware"].tolist() == ["ok", "unsupported"]
    assert "pass feature_fn" in table.reasons["teacher_aware"][1]
    read = run([plain], feature_fn=lambda module, images: module.conv(images)).to_pandas()
    expected = proxies.teacher_aware(
        plain.conv(frozen_batch("digits", 4).images).detach(),
        tvtfast.load_teacher(
            tvtfast.initialize_(CifarResNet(8, 10), seed=1), input_size=32
        ).features(frozen_batch("digits", 4).images)[-1],
    )
    assert read["teacher_aware"][0] == pytest.approx(expected.item(), rel=1e-6)
    assert read["flops"][0] == 2 * 64 * 3 * 16 * 6


def test_modules_are_left_as_they_were(run, archs):
    module = tvtfast.build(archs[0], space=TINY, img_size=32, num_classes=10, patch_size=16)
    module.train()
    module.norm.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run([module])
    assert module.training and not module.norm.training
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_global_random_state_is_left_alone(run, archs):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run(archs[:1], protocol="paper")
    assert torch.equal(torch.rand(3), expected)


def test_nothing_is_scored_twice(run, archs, tmp_path):
    calls = []
    counting = Proxy(
        "counting", lambda inputs: calls.append(1) or 1.0, needs=frozenset({"weights"})
    )
    path = tmp_path / "scores.sqlite"
    run(archs[:2], proxies=[counting], store=path)
    run(archs[:3], proxies=[counting], store=path)
    assert len(calls) == 3
    run(archs[:3], proxies=[counting], store=path, seed=1)
    assert len(calls) == 6, "another weight draw is another score"
    run(archs[:3], proxies=[counting], store=path, images=frozen_batch("digits", 3))
    assert len(calls) == 6, "a proxy that needs no images does not depend on them"
    run([archs[0], archs[0]], proxies=[counting])
    assert len(calls) == 7, "a repeated candidate is computed once"


def test_everything_that_determines_a_score_is_in_its_key(run, archs, batch, tmp_path):
    """Changing any one of them computes anew, changing none does not."""
    path = tmp_path / "scores.sqlite"
    other_teacher = tvtfast.load_teacher(
        tvtfast.initialize_(CifarResNet(8, 10), seed=2), input_size=32
    )
    changes = [
        {},
        {"seed": 1},
        {"dtype": "bfloat16"},
        {"images": batch.images.flip(0)},
        {"teacher": other_teacher},
        {"patch_size": 8},
        {"protocol": "paper"},
        {"distilled": True},
    ]
    sizes = []
    for change in changes * 2:
        run(archs[:1], proxies=["teacher_aware"], store=path, **change)
        with ScoreStore(path) as store:
            sizes.append(len(store))
    first, second = sizes[: len(changes)], sizes[len(changes) :]
    assert all(after > before for before, after in zip(first, first[1:], strict=False))
    assert set(second) == {first[-1]}


def test_failures_are_recorded_and_the_rest_is_kept(run, archs):
    def moody(inputs):
        index = [TINY.encode(a) for a in archs].index(inputs.candidate.label)
        if index == 1:
            raise RuntimeError("no\nluck today")
        if index == 2:
            raise torch.OutOfMemoryError("out of memory")
        return math.inf if index == 3 else 1.0

    table = run(archs, proxies=["weight_norm", Proxy("moody", moody)])
    assert table.status["moody"].tolist() == ["ok", "error", "oom", "nan"]
    assert table.reasons["moody"].tolist() == [
        "",
        "RuntimeError: no luck today",
        "OutOfMemoryError: out of memory",
        "the score is inf",
    ]
    assert table.to_pandas()["moody"].isna().tolist() == [False, True, True, True]
    assert table.to_pandas()["weight_norm"].notna().all()
    assert tvtfast.rank(table).notna().tolist() == [True, False, False, False]
    assert "'nan': 1" in repr(table)
    with pytest.raises(tvtfast.ScoringError, match="moody: RuntimeError: no luck today"):
        run(archs, proxies=[Proxy("moody", moody)], on_error="raise")


def test_a_candidate_with_nan_weights_has_status_nan(run, archs):
    module = tvtfast.build(archs[0], space=TINY, img_size=32, num_classes=10, patch_size=16)
    with torch.no_grad():
        module.pos_embed[0, 1] = math.nan
    table = run([module, archs[1]])
    assert table.status["teacher_aware"].tolist() == ["nan", "ok"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"candidates": []}, ValueError, "no candidates to score"),
        ({"candidates": "autoformer"}, TypeError, "give a list of architectures"),
        ({"space": None}, ValueError, "say which space it belongs to"),
        ({"space": "vit"}, ValueError, "unknown space 'vit'"),
        ({"proxies": ["teacher"]}, ValueError, "unknown proxy 'teacher'"),
        ({"teacher": None}, ValueError, "'teacher_aware' needs teacher; pass teacher"),
        ({"images": None}, ValueError, "'teacher_aware' needs images; pass images"),
        ({"images": torch.full((1, 3, 32, 32), math.nan)}, ValueError, "NaN or infinite"),
        ({"images": torch.zeros(1, 1, 32, 32)}, ValueError, r"\[B, 3, H, W\]"),
        ({"dtype": "int8"}, ValueError, "dtype is 'int8'; allowed: float32"),
        ({"protocol": "fast"}, ValueError, "protocol is 'fast'; allowed: fixed, paper"),
        ({"on_error": "ignore"}, ValueError, "on_error is 'ignore'; allowed: record, raise"),
        ({"init_seeds": 0}, ValueError, "init_seeds is 0"),
        ({"img_size": 64}, ValueError, "leave img_size out"),
        ({"candidates": [{"hidden_dim": 1}]}, ValueError, "candidate 0: autoformer-tiny"),
        ({"patchsize": 4}, TypeError, "unknown model option .patchsize."),
    ],
)
def test_bad_input_is_named_before_anything_runs(run, archs, changes, error, message):
    changes = dict(changes)
    with pytest.raises(error, match=message):
        run(changes.pop("candidates", archs), **changes)


def test_teacher_with_nan_features(run, archs):
    broken = tvtfast.initialize_(CifarResNet(8, 10))
    with torch.no_grad():
        broken.conv1.weight[0] = math.nan
    with pytest.raises(ValueError, match="hold NaN or infinite values; check its weights"):
        run(archs, teacher=tvtfast.load_teacher(broken, input_size=32))


def test_labels_reach_the_proxies_that_need_them(run, archs, batch):
    needy = Proxy(
        "needy",
        lambda inputs: float(inputs.labels.sum()),
        needs=frozenset({"images", "labels"}),
    )
    assert run(archs[:1], proxies=[needy]).to_pandas()["needy"][0] == float(batch.labels.sum())
    with pytest.raises(ValueError, match="'needy' needs labels"):
        run(archs[:1], proxies=[needy], images=batch.images)


def test_paper_protocol_draws_per_candidate_and_repeats(batch, teacher, archs):
    """Weights unrelated between candidates, new augmented images, train mode; still repeatable."""
    dataset = load_dataset("digits")
    arguments = {
        "space": TINY,
        "teacher": teacher,
        "images": dataset,
        "batch_size": 4,
        "img_size": 32,
        **OPTIONS,
    }
    paper = [values(tvtfast.score(archs, protocol="paper", **arguments)) for _ in range(2)]
    pd.testing.assert_frame_equal(*paper)
    fixed = values(tvtfast.score(archs, **arguments))
    assert (paper[0]["teacher_aware"] != fixed["teacher_aware"]).all()
    assert (paper[0]["weight_norm"] != fixed["weight_norm"]).all()


def test_tables_are_written_with_status_and_reason(run, archs, tmp_path):
    table = run(archs[:2])
    table.to_csv(tmp_path / "scores.csv")
    table.to_parquet(tmp_path / "scores.parquet")
    written = pd.read_csv(tmp_path / "scores.csv", float_precision="round_trip")
    for frame in (written, pd.read_parquet(tmp_path / "scores.parquet")):
        assert frame["teacher_aware"].tolist() == table.to_pandas()["teacher_aware"].tolist()
        assert frame["weight_norm_status"].tolist() == ["ok", "ok"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scores.csv", "scores.parquet"]
    assert table.to_pandas() is not table.to_pandas()


def test_parquet_without_pyarrow_names_the_extra(run, archs, tmp_path, monkeypatch):
    table = run(archs[:2])
    monkeypatch.setattr(optional, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match=r"pyarrow 14 or newer.*'tvtfast\[parquet\]'"):
        table.to_parquet(tmp_path / "scores.parquet")
    assert not list(tmp_path.iterdir())


def test_a_table_knows_the_features_of_its_candidates():
    space = spaces.get("pit")
    archs = space.sample(3, 0)
    table = tvtfast.score([*archs, nn.Linear(2, 2)], space=space, proxies=("params",))
    assert [dict(row) for _, row in table.features[:3].iterrows()] == list(
        map(space.features, archs)
    )
    assert table.features.iloc[3].isna().all()
    assert pickle.loads(pickle.dumps(table)).features.equals(table.features)
