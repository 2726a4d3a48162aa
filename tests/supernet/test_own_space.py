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


def with_layout(own, change):
    """The space with another layout, made from the true one."""

    class Changed(own.MixerSpace):
        def layout(self, arch, qkv_mode):
            return change(dict(super().layout(arch, qkv_mode)), arch)

    return Changed("changed-mixer")


def test_parameters_that_a_layout_does_not_name_are_refused(own):
    """They were cut as if they were the classifier's, where the shapes allowed it."""

    def without(layout, arch):
        return {name: pieces for name, pieces in layout.items() if not name.startswith("norm.")}

    message = (
        r"'changed-mixer' does not say where norm\.weight of Mixer, \[20\], lies in a superformer "
        r"\(nor 1 more\); declare it in layout: its stored name"
    )
    with pytest.raises(ValueError, match=message):
        Superformer(with_layout(own, without), **OPTIONS)


def test_a_new_layer_in_a_space_of_vitas_is_refused(small, monkeypatch):
    from tvtfast.models import registry
    from tvtfast.models.vitas_deit import VitasDeit

    class Scaled(VitasDeit):
        def __init__(self, arch, space, options):
            super().__init__(arch, space, options)
            self.gate = torch.nn.Parameter(torch.ones(options.num_classes))

    monkeypatch.setitem(registry._models, spaces.VitasDeitArch, Scaled)
    with pytest.raises(ValueError, match=r"does not say where gate of Scaled, \[5\], lies in"):
        Superformer(small.DEIT, **small.OPTIONS, num_classes=5)


@pytest.mark.parametrize(
    ("axes", "cut"),
    (
        ((None, None), r"\[20, 0\]"),
        ((spaces.Axis((8, 12, 20), 8),), r"\[8\]"),
    ),
)
def test_a_layout_that_cuts_to_another_shape_is_refused(own, axes, cut):
    def changed(layout, arch):
        return layout | {"norm.weight": (spaces.Piece("norm.weight", axes),)}

    expected = rf"cuts norm\.weight of Mixer to {cut}, and its shape is \[20\]; correct its layout"
    with pytest.raises(ValueError, match=expected):
        Superformer(with_layout(own, changed), **OPTIONS)


def test_a_width_that_no_axis_cuts_is_refused(own):
    def uncut(layout, arch):
        return layout | {"norm.bias": (spaces.Piece("norm.bias", (None,)),)}

    model = Superformer(with_layout(own, uncut), **OPTIONS)
    with pytest.raises(ValueError, match=r"dimension 0 of norm\.bias is 8 in one candidate .* 20"):
        model.weights(own.MixerArch(8, 1))


def test_a_stored_parameter_that_no_largest_candidate_has_is_named(own):
    def private(layout, arch):
        width = spaces.Axis(own.WIDTHS, arch.width)
        key = f"depth{arch.depth}.norm.bias"
        return layout | {"norm.bias": (spaces.Piece(key, (width,)),)}

    model = Superformer(with_layout(own, private), **OPTIONS)
    with pytest.raises(ValueError, match=r"out of depth1\.norm\.bias, which none of its largest"):
        model.weights(own.MixerArch(8, 1))
