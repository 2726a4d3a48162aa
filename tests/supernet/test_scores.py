"""Inherited accuracy and throughput as columns, and the commands around a superformer."""

from __future__ import annotations

import json

import pytest
import torch

import tvtfast
from tvtfast.cli import main
from tvtfast.models import load_student
from tvtfast.proxies.throughput import throughput, throughput_spread
from tvtfast.supernet import InheritedAccuracy, Superformer, load_superformer
from tvtfast.supernet.folder import TrainedSuperformer


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored") / "super"
    return small.train(folder, sharing="bilateral", epochs=1)


@pytest.fixture(scope="module")
def inherited(small, finished):
    return InheritedAccuracy(finished.superformer, small.part("test", 30))


def score(small, archs, proxies, **options):
    return tvtfast.score(
        archs, space=small.DEIT, proxies=proxies, device="cpu", num_classes=10, **options
    )


def test_accuracy_is_the_mean_over_sides(small, finished, inherited):
    arch = small.DEIT.sample(1, 4)[0]
    model = finished.superformer.model
    with torch.no_grad():
        hits = [
            (model(inherited.images, arch, side).argmax(1) == inherited.labels).double().mean()
            for side in (0, 1)
        ]
    assert inherited(arch) == pytest.approx(100 * float(sum(hits) / 2))
    assert inherited(arch, side=0) == pytest.approx(100 * float(hits[0]))


def test_a_column_that_is_stored_for_these_weights(small, inherited, finished, tmp_path):
    archs = small.DEIT.sample(4, 1)
    store = tmp_path / "scores.sqlite"
    table = score(small, archs, [inherited.proxy()], store=store, **small.OPTIONS)
    assert table.to_pandas()["inherited_accuracy"].tolist() == list(map(inherited, archs))
    scorer = tvtfast.Scorer(
        space=small.DEIT,
        proxies=[inherited.proxy()],
        store=store,
        device="cpu",
        num_classes=10,
        **small.OPTIONS,
    )
    scorer(archs)
    assert scorer.evaluated == 0
    other = Superformer(small.DEIT, seed=5, num_classes=10, **small.OPTIONS).eval()
    changed = InheritedAccuracy(
        TrainedSuperformer(other, finished.superformer.card), small.part("test", 30)
    )
    scorer = tvtfast.Scorer(
        space=small.DEIT,
        proxies=[changed.proxy()],
        store=store,
        device="cpu",
        num_classes=10,
        **small.OPTIONS,
    )
    scorer(archs)
    assert scorer.evaluated == len(archs)


def test_a_search_takes_it(small, inherited):
    result = tvtfast.search(
        small.DEIT,
        strategy="random",
        trials=6,
        proxies=[inherited.proxy()],
        num_classes=10,
        device="cpu",
        **small.OPTIONS,
    )
    accuracies = result.table.to_pandas()["inherited_accuracy"]
    assert inherited(result.best) == accuracies.max()


def test_other_classes_are_refused(small, finished):
    model = Superformer(small.DEIT, num_classes=3, **small.OPTIONS)
    with pytest.raises(ValueError, match="knows 3 classes"):
        InheritedAccuracy(
            TrainedSuperformer(model, finished.superformer.card), small.part("test", 30)
        )
    with pytest.raises(ValueError, match="at least one"):
        InheritedAccuracy(finished.superformer, small.part("test", 30), limit=0)


def test_throughput_of_a_measurement(monkeypatch):
    """The median of seven passes after two: 8 images in 2 s, spread over 1..3 s."""
    times = iter([9.0, 9.0, 3.0, 1.0, 2.0, 2.0, 2.0, 2.5, 1.5])
    monkeypatch.setattr("tvtfast.proxies.throughput._seconds", lambda module, images: next(times))

    class Inputs:
        module = torch.nn.Identity()
        images = torch.zeros(8, 3, 4, 4)

    assert throughput(Inputs()) == 4.0
    assert throughput_spread(Inputs()) == 1.0


def test_throughput_is_measured_once_per_machine(small, tmp_path):
    options = {"store": tmp_path / "scores.sqlite", "images": torch.randn(4, 3, 32, 32)}
    proxies = ["throughput", "throughput_spread"]
    first = score(small, small.DEIT.sample(2, 0), proxies, patch_size=8, **options).to_pandas()
    again = score(small, small.DEIT.sample(2, 0), proxies, patch_size=8, **options).to_pandas()
    assert (first["throughput"] > 0).all() and (first["throughput_spread"] >= 0).all()
    assert first["throughput"].tolist() == again["throughput"].tolist()


def test_commands_from_training_to_a_student(small, tmp_path, capsys):
    folder = tmp_path / "super"
    flags = ["--space", "test-super-deit", "--patch-size", "8", "--device", "cpu"]
    training = ["--epochs", "1", "--batch-size", "720", "--warmup-epochs", "0"]
    assert main(["supernet", *flags, *training, "--output-dir", str(folder)]) == 0
    assert "search it    tvtfast search" in capsys.readouterr().out
    search = ["search", *flags, "--supernet", str(folder), "--trials", "3", "--strategy", "random"]
    window = ["--min-param-limits", "null", "--param-limits", "null"]
    proxies = ["--proxies", "inherited_accuracy", "--output-dir", str(tmp_path / "run")]
    assert main([*search, *window, *proxies, "--space", "pit"]) == 2
    assert "give --space test-super-deit" in capsys.readouterr().err
    assert main([*search, *window, *proxies]) == 0
    best = tmp_path / "run" / "best.json"
    student = ["--arch", str(best), "--output", str(tmp_path / "student")]
    assert main(["export", "--from-supernet", str(folder), *student]) == 0
    alone = load_student(tmp_path / "student")
    assert alone.card.arch == json.loads(best.read_text())["arch"]
    assert alone.card.accuracy is None
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        inside = load_superformer(folder).model(images, small.DEIT.decode(alone.card.arch))
        torch.testing.assert_close(alone.module(images), inside, rtol=1e-5, atol=1e-5)


def test_flags_that_do_not_go_together(tmp_path, capsys):
    assert main(["search", "--proxies", "inherited_accuracy"]) == 2
    assert "give --supernet FOLDER" in capsys.readouterr().err
    assert main(["search", "--supernet", "runs/x"]) == 2
    assert "which is not among the proxies" in capsys.readouterr().err
    assert main(["export", "--output", str(tmp_path / "x")]) == 2
    assert "--from-supernet" in capsys.readouterr().err
    assert main(["export", "--from-supernet", "runs/x", "--output", str(tmp_path / "x")]) == 2
    assert "name the architecture" in capsys.readouterr().err
