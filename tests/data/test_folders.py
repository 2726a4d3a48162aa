"""Which folders are splits, which are classes, and what is left out."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tvtfast.common.foreign import BadFileError
from tvtfast.data import DatasetNotFoundError, folders, frozen_batch, load_dataset
from tvtfast.data.folders import find_images, read_class_folders, split_of
from tvtfast.data.pixels import image_suffixes

Photos = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Make a folder of images, 4x4 pixels each, and give its path."""

    def make(*names: str) -> Path:
        for index, name in enumerate(names):
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (index, index, index)).save(path, format="PNG")
        return tmp_path / "photos"

    return make


def _said(folder: Path, caplog: pytest.LogCaptureFixture) -> tuple[str, list[str]]:
    """The line about a folder, and the warnings."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "tvtfast.data"):
        load_dataset(folder)
    lines = [record for record in caplog.records if record.levelno == logging.INFO]
    assert len(lines) == 1
    assert all(record.getMessage().startswith(f"{folder}: ") for record in caplog.records)
    texts = {r: r.getMessage().removeprefix(f"{folder}: ") for r in caplog.records}
    return texts[lines[0]], [text for record, text in texts.items() if record is not lines[0]]


@pytest.mark.parametrize(
    ("train", "held_out", "split"),
    [
        ("train", "test", "test"),
        ("Training", "Testing", "test"),
        ("TRAIN", "VAL", "val"),
        ("train", "valid", "val"),
        ("Train", "Validation", "val"),
        ("training_set", "test_set", "test"),
        ("trainset", "testset", "test"),
        ("TrainingData", "TestData", "test"),
        ("train2017", "val2017", "val"),
        ("train-images", "dev", "val"),
        ("my", "test", None),
    ],
)
def test_usual_names_of_splits(
    photos: Photos, train: str, held_out: str, split: str | None
) -> None:
    folder = photos(
        *(f"{train}/{name}/{i}.png" for name in ("glioma", "none", "pituitary") for i in range(4)),
        *(f"{held_out}/{name}/0.png" for name in ("glioma", "none", "pituitary")),
    )
    if split is None:
        with pytest.raises(ValueError, match="has test but no train"):
            load_dataset(folder)
        return
    training, testing = load_dataset(folder), load_dataset(folder, split="eval")
    assert training.classes == testing.classes == ("glioma", "none", "pituitary")
    assert (len(training), len(testing), testing.split) == (12, 3, split)
    assert training.report is not None and training.report.images == {"train": 12, split: 3}


def test_names_that_are_no_splits() -> None:
    for name in ("ant", "seg_train", "trains", "trainer", "Trainspotting", "testudo", "", "2017"):
        assert split_of(name) is None, name


def test_the_line_says_what_was_found_and_what_was_left_out(
    photos: Photos, caplog: pytest.LogCaptureFixture
) -> None:
    folder = photos(
        *(f"train/{name}/{i}.png" for name in ("ant", "bee", "cat") for i in range(4)),
        *(f"test/{name}/{i}.png" for name in ("ant", "bee", "cat") for i in range(2)),
        "train/.ipynb_checkpoints/0-checkpoint.png",
        "train/ant/.ipynb_checkpoints/0-checkpoint.png",
        "test/ant/.hidden.png",
        *(f"train/ant/._{i}.png" for i in range(2)),
        "__MACOSX/train/ant/0.png",
        "train/bee/Thumbs.db",
        "train/bee/desktop.ini",
        "train/bee/notes.TXT",
        "train/bee/README",
        *(f"train/cat/{i}.heic" for i in range(4)),
    )
    (folder / "train" / "cat" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "train" / "cat" / "round").symlink_to(folder / "train")
    (folder / "train" / "dog").mkdir()
    line, warnings = _said(folder, caplog)
    found, _, left_out = line.partition("; left out: ")
    assert found == "12 training images of 3 classes, 6 for testing"
    assert sorted(left_out.split(", ")) == [
        *("1 .txt", "1 class folder without images", "1 file without a suffix"),
        *("1 link that leads nowhere", "1 link to a folder around it", "1 system folder"),
        *("2 hidden folders", "2 system files", "3 hidden files", "4 .heic"),
    ]
    assert load_dataset(folder).classes == ("ant", "bee", "cat")
    assert warnings == [
        "classes without training images are left out: dog",
        "4 .heic are images of types that are not read; convert them to .png or .jpg",
    ]


def test_one_of_each_is_singular(photos: Photos) -> None:
    report = read_class_folders(photos("ant/0.png")).report
    assert str(report) == "1 training image of 1 class"
    assert report.left_out == {}


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".webp", ".tif", ".bmp", ".avif", ".JPG"])
def test_formats_that_pillow_reads_are_read(photos: Photos, suffix: str) -> None:
    folder = photos("train/ant/0.png", "train/bee/0.png")
    if suffix.lower() not in image_suffixes():
        pytest.skip(f"this Pillow reads no {suffix}")
    Image.new("RGB", (4, 4), "white").save(
        folder / f"train/ant/a{suffix}", format="JPEG" if suffix == ".jfif" else None
    )
    dataset = load_dataset(folder)
    assert len(dataset) == 3
    assert dataset.images[1].getpixel((0, 0)) == (255, 255, 255)


def test_links_are_followed_once(photos: Photos, tmp_path: Path) -> None:
    folder = photos("train/ant/0.png", "train/bee/0.png", "elsewhere/x.PNG")
    shutil.move(folder / "elsewhere", tmp_path / "elsewhere")
    (folder / "train" / "ant" / "link.png").symlink_to(tmp_path / "elsewhere" / "x.PNG")
    (folder / "train" / "ant" / "sub").symlink_to(tmp_path / "elsewhere")
    (folder / "train" / "ant" / "again").symlink_to(folder / "train" / "ant")
    files, left_out = find_images(folder / "train" / "ant")
    assert [file.name for file in files] == ["0.png", "link.png", "x.PNG"]
    assert left_out == {"link to a folder around it": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_what_is_no_file_is_not_opened(photos: Photos) -> None:
    folder = photos("train/ant/0.png")
    os.mkfifo(folder / "train" / "ant" / "pipe.png")
    assert find_images(folder)[1] == {"special file": 1}


def test_files_are_in_the_order_of_paths(photos: Photos) -> None:
    names = ("ant/b.png", "ant/nested/a.png", "ant/a.png", "ant-eater/0.png", "ant/B.png")
    files, _ = find_images(photos(*names))
    assert [file.relative_to(photos()).as_posix() for file in files] == [
        *("ant/B.png", "ant/a.png", "ant/b.png", "ant-eater/0.png", "ant/nested/a.png"),
    ]


def test_unlikely_outcomes_are_warned_about(
    photos: Photos, caplog: pytest.LogCaptureFixture
) -> None:
    folder = photos("seg_train/ant/0.png", "seg_test/ant/0.png", "seg_pred/0.png")
    assert _said(folder, caplog)[1] == [
        "classes are named like splits: seg_test, seg_train; splits are folders of class folders "
        "that are named train, val and test"
    ]
    shutil.rmtree(folder)
    folder = photos("vehicles/bus/0.png", "vehicles/car/0.png", "loose.png")
    assert _said(folder, caplog)[1] == [
        "'vehicles' is the only class; are the folders in it the classes?",
        "1 images lie in no class folder and are left out",
    ]
    shutil.rmtree(folder)
    folder = photos("train/bus/0.png", "train/car/0.png", "pred/0.png", "test/0.png")
    line, warnings = _said(folder, caplog)
    assert line == "2 training images of 2 classes; left out: 2 folders beside the splits"
    assert warnings == ["train hold the classes, so what lies beside them is left out: pred, test"]


def test_images_that_cannot_be_opened_are_left_out_by_name(
    photos: Photos, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(*(f"train/{name}/{i}.png" for name in ("ant", "bee", "cat") for i in range(3)))
    (folder / "train" / "ant" / "1.png").write_bytes(b"")
    (folder / "train" / "bee" / "2.png").write_text("not an image")
    Image.new("1", (20_000, 10_000)).save(folder / "train" / "bee" / "scan.png")
    Image.new("F", (2, 2)).save(folder / "train" / "cat" / "depth.tif")
    line, warnings = _said(folder, caplog)
    assert line == "7 training images of 3 classes; left out: 4 unreadable images"
    assert warnings == [
        "images that cannot be read are left out: train/ant/1.png, train/bee/2.png, "
        "train/bee/scan.png, train/cat/depth.tif"
    ]
    assert [image.size for image, _ in load_dataset(folder)] == [(4, 4)] * 7
    with pytest.raises(ValueError, match="has 7 images .*left out: train/ant/1.png.*none is drawn"):
        frozen_batch(folder, 8)
    monkeypatch.setattr(folders, "MOST_OPENED", 10)
    dataset = load_dataset(folder)
    assert len(dataset) == 11
    with pytest.raises(BadFileError, match=r"ant/1\.png cannot be read as an image"):
        dataset[1]


def test_doubts_about_classes(photos: Photos, caplog: pytest.LogCaptureFixture) -> None:
    names = ("train/Ant/0.png", "train/ant/0.png", "train/bee /0.png", "train/cat/0.png")
    folder = photos(*names, "test/ant/0.png", "test/cat/0.png")
    assert _said(folder, caplog)[1] == [
        "test has no image of the classes Ant, bee ",
        "classes differ in case or spaces alone: Ant, ant",
    ]


def test_a_class_may_be_named_train(photos: Photos) -> None:
    folder = photos("bus/0.png", "car/0.png", "train/0.png")
    assert load_dataset(folder).classes == ("bus", "car", "train")
    shutil.rmtree(folder)
    folder = photos("train/bus/0.png", "train/train/0.png")
    found = read_class_folders(folder)
    assert found.classes == ("bus", "train") and not found.report.remarks


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/rose/0.png", "val/weed/0.png"), "val has classes that .*train has not: weed;"),
        (("train/a/0.png", "Training/a/0.png"), "2 folders for the split 'train': Training, train"),
        (("val/rose/0.png",), "has val but no train; the classes are those of train/<class>/"),
        (("train/0.png", "test/0.png"), "has test, train, which hold images and no class folders"),
        (("ant/train/0.png", "ant/test/1.png"), "ant holds test, train; splits lie above classes"),
        (
            ("train/ant/0.heic", "train/bee/0.heic"),
            r"no image in its 2 class folders \(left out: 2",
        ),
        (("0.png", "1.png"), r"no class folder \(left out: 2 images without a class folder\)"),
        (("notes.txt",), r"no class folder \(left out: 1 .txt\); give a folder with <class>/ or"),
    ],
)
def test_folders_that_are_refused(photos: Photos, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(photos(*names))


def test_without_held_out_images_the_error_says_what_to_do(photos: Photos) -> None:
    folder = photos("ant/0.png", "bee/0.png")
    with pytest.raises(
        ValueError, match=r"no split 'test'; it has train; put about a fifth .*test"
    ):
        load_dataset(folder, split="eval")


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="is not a folder"):
        load_dataset("imagefolder", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="needs path"):
        load_dataset("imagefolder")


def test_names_of_classes_in_any_script(photos: Photos, tmp_path: Path) -> None:
    names = ("Äpfel süß", "猫", 'a,b "c"')
    folder = photos(*(f"train/{name}/0.png" for name in names))
    assert load_dataset(folder).classes == tuple(sorted(names))
    os.mkdir(os.fsencode(folder / "train") + b"/caf\xe9")
    with pytest.raises(ValueError, match=r"caf\\udce9': the name of the class is not UTF-8"):
        load_dataset(folder)
