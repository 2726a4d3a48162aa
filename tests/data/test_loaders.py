"""Batches out of data loaders."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tvtfast.data import loader_batch

LABELS = torch.tensor([0, 2, 2, 1, 2, 1, 0, 0, 1])
IMAGES = torch.arange(9.0).view(9, 1, 1, 1).expand(9, 3, 2, 2)
LOADER = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=2)


def numbers(images):
    return images[:, 0, 0, 0].tolist()


def test_batches_stand_one_behind_the_other():
    images, labels = loader_batch(LOADER, ("random", 2, 3))
    assert images.shape == (4, 3, 2, 2)
    assert numbers(images) == [0, 1, 2, 3] and labels.tolist() == [0, 2, 2, 1]


def test_images_stand_class_by_class():
    images, labels = loader_batch(LOADER, ("grasp", 2, 3))
    assert numbers(images) == [0, 6, 3, 5, 1, 2]
    assert labels.tolist() == [0, 0, 1, 1, 2, 2] and labels.dtype == torch.int64


def test_what_else_a_batch_has_is_left_alone():
    loader = [(IMAGES[:2], LABELS[:2].int(), "features"), None]
    images, labels = loader_batch(loader, ("random", 1, 3))
    assert numbers(images) == [0, 1] and labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (("random", 6, 3), "the loader has 5 batches, and 6 were asked for"),
        (("grasp", 4, 3), "the loader has 3 images of class 0, and 4 were asked for"),
        (("grasp", 1, 2), "gives the label 2, and dataload_info says 2 classes"),
        (("zc_imgs", 1, 3), "begins with 'zc_imgs'; give 'random' and"),
        (("random", 0, 3), r"dataload_info\[1\] is 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(info, message):
    with pytest.raises(ValueError, match=message):
        loader_batch(LOADER, info)
