"""ImageNet by name, as it is unpacked everywhere."""

from __future__ import annotations

import pytest
from PIL import Image

from tvtfast.common.foreign import BadFileError
from tvtfast.data import load_dataset
from tvtfast.data.locate import DatasetNotFoundError


@pytest.fixture
def folder(tmp_path):
    """Two of its classes and one of ImageNet-21k."""
    for split, count in (("train", 3), ("val", 1)):
        for number, wnid in enumerate(("n01443537", "n01440764", "n99999999")):
            place = tmp_path / "imagenet" / split / wnid
            place.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (20, 10), (number * 50, 0, 0)).save(
                    place / f"{index}.JPEG", format="JPEG"
                )
    return tmp_path


def test_classes_are_in_the_order_of_wordnet_ids_and_have_names(folder):
    train = load_dataset("ImageNet", folder)
    assert train.classes[0] == "n01440764 tench" and train.classes[2] == "n99999999"
    assert train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 and train.img_size == 224
    test = load_dataset("imagenet", folder / "imagenet", split="eval")
    assert (test.split, len(test), test.classes) == ("val", 3, train.classes)
    assert test[0][0].getpixel((0, 0))[0] == pytest.approx(50, abs=3)


def test_what_is_not_imagenet(folder, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="imagenet was not found"):
        load_dataset("imagenet", tmp_path / "nowhere")
    (folder / "imagenet" / "val" / "n99999999" / "0.JPEG").unlink()
    with pytest.raises(BadFileError, match="n99999999 holds no .JPEG"):
        load_dataset("imagenet", folder, split="val")
    (folder / "imagenet" / "val" / "n99999999").rmdir()
    with pytest.raises(BadFileError, match=r"different classes .3 and 2; first: n99999999"):
        load_dataset("imagenet", folder, split="val")
    (folder / "imagenet" / "train" / "cats").mkdir()
    with pytest.raises(BadFileError, match="cats is no folder of a WordNet id"):
        load_dataset("imagenet", folder)
