"""Patches cover the whole image, or are refused with those that do."""

import pytest

from tvtfast import spaces
from tvtfast.spaces import ModelOptions, default_patch_size

TILED = [name for name in spaces.available() if name not in ("asvit", "vitas-twins")]


@pytest.mark.parametrize("name", TILED)
def test_patches_that_leave_pixels_out(name):
    with pytest.raises(ValueError, match="patch_size is 7, .* 32 x 32 pixels; give one of .*, 8"):
        spaces.get(name).check_options(img_size=32, patch_size=7)
    spaces.get(name).check_options(img_size=32, patch_size=8)


def test_as_vit_has_patches_of_its_own():
    spaces.get("asvit").check_options(img_size=32, patch_size=7)


def test_the_first_stage_of_twins_has_a_quarter_of_the_patch():
    space = spaces.get("vitas-twins")
    space.check_options(img_size=(72, 64), patch_size=16)
    with pytest.raises(ValueError, match="patch_size is 4, .* 74 x 64 pixels; give one of 1, 2"):
        space.check_options(img_size=(74, 64), patch_size=16)


def test_patches_may_overlap():
    assert ModelOptions(img_size=24, patch_size=16).patch_grid(overlap=2) == (2, 2)
    with pytest.raises(ValueError, match="24 x 24"):
        ModelOptions(img_size=24, patch_size=16).patch_grid()


@pytest.mark.parametrize(
    ("side", "patch"),
    [(8, 1), (28, 4), (32, 4), (64, 8), (96, 12), (100, 10), (112, 16), (224, 16)],
)
def test_the_default_divides_the_image(side, patch):
    assert default_patch_size(side) == patch
    ModelOptions(img_size=side, patch_size=patch).patch_grid()


def test_sides_without_a_suitable_divisor():
    with pytest.raises(ValueError, match="img_size is 97, .* give another, such as 96"):
        default_patch_size(97)


@pytest.mark.parametrize("changes", [{"img_size": True}, {"img_size": 1.5}, {"patch_size": "4"}])
def test_what_is_no_size(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))} is .*; give a whole number"):
        ModelOptions(**changes)
