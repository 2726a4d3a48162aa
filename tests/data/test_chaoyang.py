"""The Chaoyang layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tvtfast.data import load_dataset


@pytest.fixture
def chaoyang(tmp_path: Path, write_image: Callable[[Path, int], None]) -> Path:
    folder = tmp_path / "chaoyang"
    for split, labels in (("train", [3, 0, 1]), ("test", [2])):
        records = []
        for index, label in enumerate(labels):
            write_image(folder / split / f"{index}.JPG", 50 * label)
            records.append({"name": f"{split}/{index}.JPG", "label": label})
        (folder / f"{split}.json").write_text(json.dumps(records))
    return folder


def test_layout(chaoyang: Path) -> None:
    train = load_dataset("Chaoyang", chaoyang.parent)
    test = load_dataset("chaoyang", chaoyang, split="test")
    assert train.classes == ("normal", "serrated", "adenocarcinoma", "adenoma")
    assert train.labels.tolist() == [3, 0, 1]
    assert [train[index][0].getpixel((0, 0))[0] for index in range(3)] == [150, 0, 50]
    assert (test.split, test.labels.tolist()) == ("test", [2])
    assert load_dataset(chaoyang).name == "chaoyang"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ('[{"name": "train/0.JPG", "label": 4}]', r"at index 0 is 4; allowed is 0\.\.3"),
        ('[{"name": "train/0.JPG", "label": -1}]', r"at index 0 is -1"),
        ('[{"name": "train/0.JPG", "label": "3"}]', "a label is not an integer"),
        ('[{"name": "train/0.JPG"}]', "'name' and 'label'"),
        ('{"name": "train/0.JPG"}', "cannot be read as a JSON list"),
        ("[", "cannot be read as a JSON list"),
        ("[]", "there is no image"),
        ('[{"name": "train/9.JPG", "label": 0}]', r"1 of 1 image files are missing.*9\.JPG"),
    ],
)
def test_damaged_listing(chaoyang: Path, records: str, message: str) -> None:
    (chaoyang / "train.json").write_text(records)
    with pytest.raises(ValueError, match=message):
        load_dataset("chaoyang", chaoyang)
