"""Inherited accuracy and throughput as columns, and the commands around a superformer."""

from __future__ import annotations

import json
import pickle
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.cli import main
from tvtfast.data import load_splits
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
    ((images, labels),) = inherited.images
    with torch.no_grad():
        hits = [(model(images, arch, side).argmax(1) == labels).double().mean() for side in (0, 1)]
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
    data = tmp_path / "my data.npz"
    part, test = small.part("train", 100), small.part("test", 30)
    arrays = {
        f"{key}_{split}": value
        for split, one in (("train", part), ("test", test))
        for key, value in (
            ("x", np.stack([np.asarray(image) for image, _ in one])),
            ("y", one.labels.numpy()),
        )
    }
    np.savez(data, **arrays)
    flags = ["--space", "test-super-deit", "--patch-size", "8", "--img-size", "32"]
    flags += ["--device", "cpu", "--data-set", str(data)]
    training = ["--epochs", "1", "--batch-size", "720", "--warmup-epochs", "0"]
    assert main(["supernet", *flags, *training, "--output-dir", str(folder)]) == 0
    (command,) = going_on(capsys.readouterr().out, "search it")
    window = ["--trials", "3", "--strategy", "random", "--output-dir", str(tmp_path / "run")]
    for flag, given, brought in (
        ("--space", "pit", "'test-super-deit'"),
        ("--img-size", "28", "32"),
        ("--patch-size", "4", "8"),
        ("--num-classes", "9", "10"),
        ("--distilled", "true", "False"),
        ("--search-split", "0.3", "0.2"),
    ):
        assert main([*command, *window, flag, given]) == 2
        told = capsys.readouterr().err
        assert f"{flag} is {given}".lower() in told.lower() and brought in told, told
    assert main([*command, *window, "--data-set", "digits"]) == 2
    assert "are other images than those" in capsys.readouterr().err
    assert main([*command, *window]) == 0
    out = capsys.readouterr()
    assert "inherited accuracy on 20 images of my data, train-held-out0.2-seed0: kept" in out.err
    (train,), (cut,) = going_on(out.out, "train it"), going_on(out.out, "cut it out")
    library_agrees(small, folder, tmp_path / "run")
    named = ["search", "--device", "cpu", "--trials", "3", "--strategy", "random"]
    named += ["--proxies", f"inherited_accuracy:{folder}", "--output-dir", str(tmp_path / "named")]
    assert main(named) == 0
    by_flag, by_name = (pd.read_csv(tmp_path / run / "scores.csv") for run in ("run", "named"))
    assert by_flag["inherited_accuracy"].tolist() == by_name["inherited_accuracy"].tolist()
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    options = dict(load_superformer(folder).card.model_options)
    del options["drop_path_rate"]
    assert {n: best["model_options"][n] for n in options} == options
    assert best["flops"] == small.DEIT.flops(small.DEIT.decode(best["arch"]), **options)
    assert main([*train, "--epochs", "1", "--batch-size", "40", "--warmup-epochs", "0"]) == 0
    retrained = load_student(tmp_path / "run" / "my data-plain-seed0")
    assert retrained.card.model_options["patch_size"] == 8
    assert sum(p.numel() for p in retrained.module.parameters()) == best["params"]
    assert main(cut) == 0
    alone = load_student(tmp_path / "run" / "inherited")
    assert alone.card.arch == best["arch"]
    assert alone.card.accuracy is None
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        inside = load_superformer(folder).model(images, small.DEIT.decode(alone.card.arch))
        torch.testing.assert_close(alone.module(images), inside, rtol=1e-5, atol=1e-5)


def going_on(out, what):
    """Words of the commands that are printed for a purpose, without the program's name."""
    lines = [line for line in out.splitlines() if line.startswith(f"{what} ")]
    return [shlex.split(line.removeprefix(what))[1:] for line in lines]


def library_agrees(small, folder, run):
    """The superformer by name gives the numbers of the command, under the keys of its store."""
    frame = pd.read_csv(run / "scores.csv")
    name = f"inherited_accuracy:{folder}"
    table = tvtfast.score(frame["arch"].tolist(), space=small.DEIT, proxies=[name], device="cpu")
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
    assert finished.superformer.card.search_split == 0.2
    with pytest.raises(ValueError, match=r"does not say where the images of 'digits-part'.*PATH"):
        score(small, small.DEIT.sample(1, 0), [f"inherited_accuracy:{finished.folder}"])
    card = finished.folder / "superformer.json"
    content = json.loads(card.read_text())
    old = finished.folder.with_name("old")
    shutil.copytree(finished.folder, old)
    then = ("evaluation", "search_split", "held_out_accuracy", "weights_sha256", "card_sha256")
    for unknown_then in then:
        content.pop(unknown_then)
    (old / card.name).write_text(json.dumps(content | {"version": 1}))
    known = {"search_split": None, "held_out_accuracy": None}
    assert load_superformer(old).card == replace(finished.superformer.card, **known)
    with pytest.raises(ValueError, match="trained on all training images .*by an earlier version"):
        proxies.get(f"inherited_accuracy:{old}")


@pytest.fixture
def named(small, finished, tmp_path):
    """The name of a superformer that says where its images are."""
    folder = tmp_path / "named"
    splits = load_splits("digits")
    pixels = [part.fingerprint for part in (splits.train, splits.held_out, splits.test)]
    recorded = replace(
        finished.superformer.card,
        evaluation={"name": "digits", "path": None},
        recipe={**finished.superformer.card.recipe, "pixels": pixels},
    )
    save_superformer(folder, finished.superformer.model, recorded)
    return f"inherited_accuracy:{folder}"


def test_a_superformer_is_named_with_its_folder(small, finished, named):
    archs = small.DEIT.sample(3, 1)
    table = score(small, archs, [named], **small.OPTIONS).to_pandas()
    expected = InheritedAccuracy(finished.superformer, load_splits("digits").held_out)
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


def test_a_superformer_serves_the_spaces_that_its_own_contains(small, named, tmp_path, capsys):
    flags = ["--space", "test-super-cell", "--patch-size", "8", "--device", "cpu", "--trials", "3"]
    folder = named.partition(":")[2]
    flags += ["--supernet", folder, "--proxies", "inherited_accuracy"]
    command = ["search", *flags, "--strategy", "random", "--output-dir", str(tmp_path / "run")]
    assert main(command) == 0
    frame = pd.read_csv(tmp_path / "run" / "scores.csv")
    archs = [small.CELL.decode(arch) for arch in frame["arch"]]
    expected = InheritedAccuracy(load_superformer(folder))
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
    for flag in ("--inherited-images", "--search-split"):
        assert main(["search", flag, "1"]) == 2
        assert f"{flag} needs a superformer; give --supernet" in capsys.readouterr().err
    assert main(["export", "--output", str(tmp_path / "x")]) == 2
    assert "--from-supernet" in capsys.readouterr().err
    assert main(["export", "--from-supernet", "runs/x", "--output", str(tmp_path / "x")]) == 2
    assert "name the architecture" in capsys.readouterr().err


def test_a_superformer_that_held_nothing_out_compares_nothing(small, tmp_path):
    finished = small.train(tmp_path / "all", epochs=1, search_split=0)
    assert finished.superformer.card.search_split == 0
    assert finished.superformer.card.held_out_accuracy is None
    with pytest.raises(ValueError, match=r"on all training images .*search_split=0.*--search-spl"):
        InheritedAccuracy(finished.superformer)
    assert InheritedAccuracy(finished.superformer, small.part("test", 30)).images


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"img_size": 64}, r"img_size is 64, and proxy 'inherited_accuracy' is of .* img_size 32"),
        ({"patch_size": 4}, r"patch_size is 4, and proxy .* patch_size 8; leave patch_size out"),
        ({"num_classes": 3}, "num_classes is 3, and proxy .* num_classes 10"),
        ({"images": torch.zeros(2, 3, 64, 64)}, r"img_size is \(32, 32\) and the images are"),
    ),
)
def test_models_of_other_options_are_refused(small, inherited, options, message):
    archs = small.DEIT.sample(1, 0)
    arguments = {"space": small.DEIT, "proxies": [inherited.proxy()], "device": "cpu"}
    with pytest.raises(ValueError, match=message):
        tvtfast.score(archs, **arguments, **options)
    with pytest.raises(ValueError, match=message):
        tvtfast.search(trials=1, strategy="random", **arguments, **options)


def test_models_take_the_options_of_the_superformer(small, inherited):
    result = tvtfast.search(
        small.DEIT, strategy="random", trials=2, proxies=[inherited.proxy()], device="cpu"
    )
    best = result.describe_best()
    assert best["model_options"]["num_classes"] == 10 and best["model_options"]["patch_size"] == 8
    arch = small.DEIT.decode(best["arch"])
    assert best["flops"] == small.DEIT.flops(arch, num_classes=10, **small.OPTIONS)
    two = replace(inherited.proxy(), name="x", model_options={"patch_size": 4})
    with pytest.raises(
        ValueError, match="'inherited_accuracy' is of models with patch_size 8, and"
    ):
        score(small, [arch], [inherited.proxy(), two])


def test_correlate_and_score_take_the_options_along(small, named, tmp_path, capsys):
    archs = small.DEIT.sample(6, 2)
    rows = [{"arch": small.DEIT.to_dict(arch), "acc": place} for place, arch in enumerate(archs)]
    (tmp_path / "truth.json").write_text(json.dumps(rows))
    folder = named.partition(":")[2]
    shared = ["--supernet", folder, "--proxies", "inherited_accuracy", "--device", "cpu"]
    shared += ["--inherited-images", "40"]
    out = ["--truth", str(tmp_path / "truth.json"), "--output-dir", str(tmp_path / "judged")]
    assert main(["correlate", *shared, *out, "--resamples", "2"]) == 0
    judged = pd.read_csv(tmp_path / "judged" / "scores.csv").set_index("arch")
    expected = InheritedAccuracy(load_superformer(folder), count=40)
    told = capsys.readouterr()
    assert "inherited accuracy on 40 images of digits, train-held-out0.2-seed0-40-seed0" in told.err
    one = json.dumps(small.DEIT.to_dict(archs[0]))
    assert main(["score", *shared, "--arch", one, "--output", str(tmp_path / "one.csv")]) == 0
    alone = pd.read_csv(tmp_path / "one.csv").iloc[0]
    first = judged.loc[small.DEIT.encode(archs[0])]
    options = {"num_classes": 10, **small.OPTIONS}
    for found in (alone, first):
        assert found["inherited_accuracy"] == expected(archs[0])
        assert found["flops"] == small.DEIT.flops(archs[0], **options)
