"""Images of inherited accuracy: the same to the bit however they are held, a batch at a time."""

from __future__ import annotations

import pytest
import torch

from tvtfast.data import VisionDataset, eval_transform, load_dataset
from tvtfast.supernet import EvaluationImages, InheritedAccuracy, inherited

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed") / "super"
    return small.train(folder, sharing="bilateral", epochs=1).superformer


class Watched:
    """Images that count how often one is read."""

    def __init__(self, images):
        self.images, self.reads = list(images), 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads += 1
        return self.images[index]


def watched(part):
    return VisionDataset(
        Watched(part.images), part.labels, part.classes, name="watched", split="s", img_size=32
    )


@pytest.mark.parametrize("size", (8, 32, 45))
def test_pixels_are_those_of_the_published_transform_to_the_bit(small, size):
    part = small.part("test", 30)
    transform = eval_transform(size, part.normalization)
    expected = torch.stack([transform(image) for image, _ in part])
    for options in ({}, {"memory": 0}, {"memory": 0, "batch_size": 7}, {"batch_size": 7}):
        images = EvaluationImages(part, size, part.normalization, **options)
        assert images.is_kept == ("memory" not in options)
        for _ in range(2):
            batches = list(images)
            assert torch.equal(torch.cat([x for x, _ in batches]), expected)
            assert torch.equal(torch.cat([labels for _, labels in batches]), part.labels)


@pytest.mark.slow
def test_workers_change_nothing(small):
    part = small.part("test", 30)
    alone, several = (
        EvaluationImages(part, 32, part.normalization, memory=0, workers=workers, batch_size=8)
        for workers in (0, 2)
    )
    for (first, _), (second, _) in zip(alone, several, strict=True):
        assert torch.equal(first, second)


def test_accuracies_are_equal_kept_and_read_again_together_and_alone(small, finished, monkeypatch):
    part, archs = small.part("test", 30), small.DEIT.sample(20, 3)
    transform = eval_transform(32, part.normalization)
    pixels = torch.stack([transform(image) for image, _ in part])
    with torch.no_grad():
        hits = [
            sum(
                int((finished.model(pixels, arch, side).argmax(1) == part.labels).sum())
                for side in (0, 1)
            )
            for arch in archs
        ]
    expected = [100 * count / 60 for count in hits]
    assert len(set(expected)) > 1
    monkeypatch.setattr(inherited, "_GROUPS", 1)
    for options in ({}, {"memory": 0}):
        score = InheritedAccuracy(finished, part, **options)
        for batch_size in (256, 7):
            score.images.batch_size = batch_size
            assert [score(arch) for arch in archs[:3]] == expected[:3]
            found = {}
            for some in score.of_many(archs):
                found |= some
            assert [found[place] for place in range(20)] == expected
    kept, read = (InheritedAccuracy(finished, part, memory=m) for m in (2**30, 0))
    assert kept.proxy().depends_on() == read.proxy().depends_on()


def test_what_is_kept_is_bytes_and_no_more_than_stated(small):
    part = small.part("test", 30)
    whole = 30 * 3 * 32 * 32
    kept = EvaluationImages(part, 32, part.normalization, memory=whole, batch_size=10)
    assert kept.is_kept and kept._kept.dtype == torch.uint8 and kept._kept.numel() == whole
    assert kept.memory == whole + 4 * whole // 3
    read = EvaluationImages(part, 32, part.normalization, memory=whole - 1, batch_size=10)
    assert not read.is_kept and read.memory == 5 * whole // 3
    workers = EvaluationImages(part, 32, part.normalization, memory=0, batch_size=10, workers=3)
    assert workers.memory == (6 + 4) * whole // 3
    assert str(kept) == "30 images of digits-part, test: kept in memory, at most 0.2 MB"
    assert str(read).endswith("read again in every pass, at most 0.2 MB")
    for wrong in ({"memory": -1}, {"workers": -1}, {"workers": 0.5}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            EvaluationImages(part, 32, part.normalization, **wrong)


def test_a_pass_reads_a_batch_when_it_needs_it(small, finished, monkeypatch):
    """So no more than one is there at a time, and one pass serves all candidates."""
    part = watched(small.part("test", 30))
    score = InheritedAccuracy(finished, part, memory=0)
    score.images.batch_size = 8
    assert part.images.reads == 0
    seen = []
    logits = inherited.Relatives.logits

    def watch(self, images, side):
        seen.append((part.images.reads, len(images)))
        return logits(self, images, side)

    monkeypatch.setattr(inherited.Relatives, "logits", watch)
    list(score.of_many(small.DEIT.sample(20, 3)))
    # two groups of at most 16 candidates, with two sides, see every batch before the next is read
    expected = [(8, 8)] * 4 + [(16, 8)] * 4 + [(24, 8)] * 4 + [(30, 6)] * 4
    assert seen == expected
    kept = InheritedAccuracy(finished, part)
    part.images.reads = 0
    kept(small.DEIT.sample(1, 0)[0])
    assert part.images.reads == 0


def test_a_part_of_the_images_is_balanced_and_drawn_by_seed(small, finished):
    digits = load_dataset("digits", split="test")
    score = InheritedAccuracy(finished, digits, count=50)
    assert score.images.images.labels.bincount().tolist() == [5] * 10
    again, other = (InheritedAccuracy(finished, digits, count=50, seed=seed) for seed in (0, 1))
    assert again.proxy().depends_on() == score.proxy().depends_on()
    assert other.proxy().depends_on() != score.proxy().depends_on()
    for wrong in (0, 356, 1.5):
        with pytest.raises(ValueError, match="count is .*give a whole number from 1 to 355"):
            InheritedAccuracy(finished, digits, count=wrong)


def test_the_random_state_stays(small, finished):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    score = InheritedAccuracy(finished, small.part("test", 30), memory=0)
    score(small.DEIT.sample(1, 0)[0])
    assert torch.equal(torch.rand(2), expected)
