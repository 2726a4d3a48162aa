"""A superformer of a space that is none of ViTAS."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from tvtfast import spaces
from tvtfast.supernet import Subnets, Superformer, cut_out, fit_identity_probability
from tvtfast.supernet.intervals import SHARING
from tvtfast.supernet.relatives import Relatives

OPTIONS = {"img_size": 32, "patch_size": 8, "num_classes": 5}


@pytest.fixture(scope="module")
def own(load_program):
    return load_program(Path(__file__).with_name("own_space.py"))


def archs_of(own):
    return [own.MixerArch(*chosen) for chosen in itertools.product(own.WIDTHS, own.DEPTHS)]


@pytest.mark.parametrize("sharing", SHARING)
def test_candidates_are_the_modules_cut_out(own, images, sharing):
    model = Superformer(own.SPACE, sharing=sharing, **OPTIONS).eval()
    with torch.no_grad():
        for arch, side in itertools.product(archs_of(own), range(model.sides)):
            alone = cut_out(model, arch, side=side)
            assert torch.equal(alone(images), model(images, arch, side))


def test_common_beginnings_are_computed_once(own, images):
    model = Superformer(own.SPACE, **OPTIONS).eval()
    archs = archs_of(own)
    tree = Relatives(model, archs)
    assert len(tree) == len(own.WIDTHS) * (1 + len(own.DEPTHS))
    with torch.no_grad():
        for rows, logits in tree.logits(images):
            assert all(torch.equal(logits, model(images, archs[row])) for row in rows)


def test_subnets_are_drawn_without_identity_blocks(own):
    assert len({Subnets(own.SPACE, 0)(step) for step in range(40)}) == own.SPACE.size
    with pytest.raises(ValueError, match="'own-mixer' draws no identity blocks; train"):
        fit_identity_probability(own.SPACE, (0, 1), **OPTIONS)


def test_models_that_are_not_run_in_parts_are_refused():
    class Borrowed(type(spaces.get("pit"))):
        def largest(self):
            return iter(self.sample(1, 0))

    with pytest.raises(ValueError, match="models of space 'borrowed' are PiT; .*ChainedModel"):
        Superformer(Borrowed("borrowed"), **OPTIONS)


def test_what_a_space_has_to_implement():
    pit = spaces.get("pit")
    arch = pit.sample(1, 0)[0]
    for call in (pit.largest, lambda: pit.genes(arch), lambda: pit.layout(arch, 0)):
        with pytest.raises(ValueError, match="no superformer for space 'pit'; .*largest, genes"):
            call()
