"""Order of training images, and what their augmentation depends on."""

from __future__ import annotations

import pytest
import torch

from tvtfast.training.loading import EpochSampler, training_batches
from tvtfast.training.processes import Team
from tvtfast.training.recipe import Recipe

CPU = torch.device("cpu")


def epoch(sampler, number):
    sampler.epoch = number
    return list(sampler)


@pytest.mark.parametrize(("images", "batch"), ((100, 32), (7, 32), (64, 32), (1, 1)))
def test_an_epoch_sees_no_image_twice(images, batch):
    sampler = EpochSampler(images, batch, 0, Team(0, 1, CPU))
    batches = epoch(sampler, 3)
    seen = [index for part in batches for number, index in part if number == 3]
    assert len(set(seen)) == len(seen) == len(sampler) * min(batch, images)
    assert len(batches) == len(sampler)
    if images > 1:
        assert batches != epoch(sampler, 4)
    assert batches == epoch(EpochSampler(images, batch, 0, Team(0, 1, CPU)), 3)


def test_a_team_shares_the_steps_of_one_process():
    parts = [epoch(EpochSampler(100, 8, 5, Team(rank, 3, CPU)), 1) for rank in range(3)]
    whole = epoch(EpochSampler(100, 24, 5, Team(0, 1, CPU)), 1)
    for step, together in enumerate(whole):
        assert sorted(together) == sorted(key for part in parts for key in part[step])
        assert {len(part[step]) for part in parts} == {8}
    with pytest.raises(ValueError, match="2 images cannot be shared by 3 processes"):
        EpochSampler(2, 8, 0, Team(0, 3, CPU))


@pytest.mark.parametrize("augmentation", ("strong", "light"))
def test_images_depend_on_seed_epoch_and_index_alone(small, augmentation):
    def batch(workers, number, seed=0):
        loader, sampler = training_batches(
            small.part("train", 12),
            recipe=Recipe(batch_size=12, augmentation=augmentation),
            img_size=16,
            seed=seed,
            workers=workers,
            team=Team(0, 1, CPU),
        )
        sampler.epoch = number
        order = [index for _, index in next(iter(sampler))]
        ((images, labels, rows, _),) = loader
        assert rows.tolist() == order
        return images[torch.tensor(order).argsort()], labels

    state = torch.get_rng_state()
    first, _ = batch(0, 0)
    torch.rand(7)
    again, _ = batch(2, 0)
    assert torch.equal(first, again)
    assert not torch.equal(first, batch(0, 1)[0])
    assert not torch.equal(first, batch(0, 0, seed=1)[0])
    torch.set_rng_state(state)
