"""Inherited accuracy and throughput as columns, and the commands around a superformer."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.cli import main
from tvtfast.data import load_dataset
from tvtfast.models import load_student
from tvtfast.proxies.throughput import throughput, throughput_spread
from tvtfast.supernet import (
    InheritedAccuracy,
    Superformer,
    extract,
    load_superformer,
    save_superformer,
)
from tvtfast.supernet.folder import TrainedSuperformer


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored") / "super"
    return small.train(folder, sharing="bilateral", epochs=1)


@pytest.fixture(scope="module")
def inherited(small, finished):
    return InheritedAccuracy(finished.superformer, small.part("test", 30))


def score(small, archs, names, **options):
    return tvtfast.score(
        archs, space=small.DEIT, proxies=names, device="cpu", num_classes=10, **options
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
    twin = pickle.loads(pickle.dumps(scorer))
    assert twin(archs).to_pandas().equals(table.to_pandas()) and twin.evaluated == 0
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
    monkeypatch.setattr("tvtfast.proxies.forward_pass.seconds", lambda module, images: next(times))

    class Inputs:
        module = torch.nn.Identity()
        images = torch.zeros(8, 3, 4, 4)

    assert throughput(Inputs()) == 4.0
    assert throughput_spread(Inputs()) == 1.0


def test_throughput_is_measured_once_per_machine(small, tmp_path):
    options = {"store": tmp_path / "scores.sqlite", "images": torch.randn(4, 3, 32, 32)}
    rates = ["throughput", "throughput_spread"]
    first = score(small, small.DEIT.sample(2, 0), rates, patch_size=8, **options).to_pandas()
    again = score(small, small.DEIT.sample(2, 0), rates, patch_size=8, **options).to_pandas()
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
    asked = ["--proxies", "inherited_accuracy", "--output-dir", str(tmp_path / "run")]
    assert main([*search, *window, *asked, "--space", "pit"]) == 2
    assert "give --space test-super-deit" in capsys.readouterr().err
    assert main([*search, *window, *asked]) == 0
    library_agrees(small, folder, tmp_path / "run")
    named = ["search", *flags, "--trials", "3", "--strategy", "random", *window]
    named += ["--proxies", f"inherited_accuracy:{folder}", "--output-dir", str(tmp_path / "named")]
    assert main(named) == 0
    by_flag, by_name = (pd.read_csv(tmp_path / run / "scores.csv") for run in ("run", "named"))
    assert by_flag["inherited_accuracy"].tolist() == by_name["inherited_accuracy"].tolist()
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


def library_agrees(small, folder, run):
    """The superformer by name gives the numbers of the command, under the keys of its store."""
    frame = pd.read_csv(run / "scores.csv")
    name = f"inherited_accuracy:{folder}"
    table = score(small, frame["arch"].tolist(), [name], **small.OPTIONS)
    found = table.to_pandas()["inherited_accuracy"].tolist()
    assert found == frame["inherited_accuracy"].tolist()
    stored = tvtfast.Scorer(
        space=small.DEIT,
        proxies=[name],
        store=run / "scores.sqlite",
        device="cpu",
        num_classes=10,
        **small.OPTIONS,
    )
    stored(frame["arch"].tolist())
    assert stored.evaluated == 0


def test_a_superformer_that_does_not_say_where_its_images_are(small, finished):
    """It was trained on images that were given; so say folders of before there was a record."""
    assert finished.superformer.card.evaluation is None
    with pytest.raises(ValueError, match=r"does not say where the images of 'digits-part'.*path"):
        score(small, small.DEIT.sample(1, 0), [f"inherited_accuracy:{finished.folder}"])
    card = finished.folder / "superformer.json"
    content = json.loads(card.read_text())
    old = finished.folder.with_name("old")
    shutil.copytree(finished.folder, old)
    for unknown_then in ("evaluation", "weights_sha256", "card_sha256"):
        content.pop(unknown_then)
    (old / card.name).write_text(json.dumps(content | {"version": 1}))
    assert load_superformer(old).card == finished.superformer.card
    with pytest.raises(ValueError, match="does not say where"):
        proxies.get(f"inherited_accuracy:{old}")


@pytest.fixture
def named(small, finished, tmp_path):
    """The name of a superformer that says where its images are."""
    folder = tmp_path / "named"
    recorded = replace(finished.superformer.card, evaluation={"name": "digits", "path": None})
    save_superformer(folder, finished.superformer.model, recorded)
    return f"inherited_accuracy:{folder}"


def test_a_superformer_is_named_with_its_folder(small, finished, named):
    archs = small.DEIT.sample(3, 1)
    table = score(small, archs, [named], **small.OPTIONS).to_pandas()
    images = load_dataset("digits", split="eval")
    expected = InheritedAccuracy(finished.superformer, images)
    assert table["inherited_accuracy"].tolist() == list(map(expected, archs))
    assert proxies.get(named).depends_on() == expected.proxy().depends_on()


def test_what_a_search_limits_may_be_named_so(small, named):
    result = tvtfast.search(
        small.DEIT,
        strategy="random",
        trials=4,
        proxies=[named],
        constraints={"inherited_accuracy": (0.0, None)},
        num_classes=10,
        device="cpu",
        **small.OPTIONS,
    )
    assert result.table.to_pandas()["inherited_accuracy"].notna().all()
    with pytest.raises(ValueError, match="needs the folder of a superformer"):
        tvtfast.search(
            small.DEIT,
            trials=2,
            strategy="random",
            proxies=["params"],
            constraints={"inherited_accuracy": (0.0, None)},
            **small.OPTIONS,
        )


def test_names_without_a_superformer(small, finished, named, tmp_path):
    assert "inherited_accuracy" in proxies.available()
    archs = small.DEIT.sample(1, 0)
    for bare in ("inherited_accuracy", "inherited_accuracy:"):
        with pytest.raises(ValueError, match="needs the folder .*; give inherited_accuracy:FOLDER"):
            score(small, archs, [bare])
    with pytest.raises(FileNotFoundError, match="nowhere is not a superformer folder"):
        score(small, archs, ["inherited_accuracy:runs/nowhere"])
    extract(finished.superformer, archs[0], tmp_path / "student")
    with pytest.raises(FileNotFoundError, match=r"student is not a superformer folder.*train one"):
        score(small, archs, [f"inherited_accuracy:{tmp_path / 'student'}"])
    with pytest.raises(ValueError, match="both the column 'inherited_accuracy'"):
        proxies.resolve([named, f"{named}/"])
    assert len(proxies.resolve([named, named])[0]) == 1
    with pytest.raises(ValueError, match="'x' combines 'inherited_accuracy', which is made from"):
        proxies.register(proxies.CombinedProxy("x", ("weight_norm", named)))


def test_architectures_of_another_space(named):
    with pytest.raises(ValueError, match=r"is of space 'test-super-deit', .*give space='test-supe"):
        tvtfast.score(spaces.get("pit").sample(1, 0), space="pit", proxies=[named], img_size=32)


def test_a_superformer_serves_the_spaces_that_its_own_contains(small, finished, tmp_path, capsys):
    flags = ["--space", "test-super-cell", "--patch-size", "8", "--device", "cpu", "--trials", "3"]
    flags += ["--supernet", str(finished.folder), "--proxies", "inherited_accuracy"]
    command = ["search", *flags, "--strategy", "random", "--output-dir", str(tmp_path / "run")]
    assert main(command) == 0
    frame = pd.read_csv(tmp_path / "run" / "scores.csv")
    archs = [small.CELL.decode(arch) for arch in frame["arch"]]
    expected = InheritedAccuracy(finished.superformer, load_dataset("digits", split="eval"))
    assert frame["inherited_accuracy"].tolist() == list(map(expected, archs))
    capsys.readouterr()
    cell = small.train(tmp_path / "cell", space="test-super-cell", epochs=1)
    assert load_superformer(cell.folder).fingerprint == cell.superformer.fingerprint
    flags[1] = "test-super-deit"
    flags[flags.index("--supernet") + 1] = str(cell.folder)
    limits = ["--min-score-limits.hardly_trained", "0", "--score-limits.hardly_trained", "99"]
    assert main([*command[:-1], str(tmp_path / "limited"), *limits]) == 0
    limited = pd.read_csv(tmp_path / "limited" / "scores.csv")
    assert limited["inherited_accuracy"].tolist() == frame["inherited_accuracy"].tolist()
    assert main(["search", *flags, "--output-dir", str(tmp_path / "wider")]) == 2
    assert "holds a superformer of space 'test-super-cell'" in capsys.readouterr().err


def test_the_command_lists_all_spaces_of_vitas(capsys):
    assert main(["supernet", "--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    assert "vitas-deit,vitas-deit-cell,vitas-deit-large,vitas-twins" in shown


def test_flags_that_do_not_go_together(tmp_path, capsys):
    assert main(["search", "--proxies", "inherited_accuracy"]) == 2
    assert "give inherited_accuracy:FOLDER" in capsys.readouterr().err
    assert main(["search", "--supernet", "runs/x"]) == 2
    assert "which is not among the proxies" in capsys.readouterr().err
    assert main(["export", "--output", str(tmp_path / "x")]) == 2
    assert "--from-supernet" in capsys.readouterr().err
    assert main(["export", "--from-supernet", "runs/x", "--output", str(tmp_path / "x")]) == 2
    assert "name the architecture" in capsys.readouterr().err
