"""A student folder as timm reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch

from tvtfast.models import load_student


@pytest.fixture(scope="module")
def student(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    return small.train(folder, epochs=1, logits="hard").student, folder


def test_timm_loads_the_folder(student):
    trained, folder = student
    images = torch.randn(2, 3, 16, 16)
    expected = trained.module(images)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert torch.equal(model(images), expected)
    assert torch.equal(load_student(folder).module(images), expected)
    adapted = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=3)
    assert adapted(images).shape == (2, 3)
    assert torch.equal(adapted.blocks[0].attn.qkv.weight, model.blocks[0].attn.qkv.weight)


def test_timm_evaluates_as_the_recipe_does(student, small):
    from timm.data import create_transform, resolve_model_data_config

    from tvtfast.data import eval_transform

    _, folder = student
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    data = small.part("test", 3)
    theirs = create_transform(**resolve_model_data_config(model))
    ours = eval_transform(16, data.normalization)
    for image, _ in data:
        torch.testing.assert_close(theirs(image), ours(image), rtol=0, atol=1e-6)


def test_timm_builds_a_candidate_by_name(student):
    trained, folder = student
    card = trained.card
    options = {"space": card.space, "arch": card.arch, **card.model_options}
    model = timm.create_model(
        "tvtfast_student", checkpoint_path=str(folder / "model.safetensors"), **options
    )
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(model.eval()(images), trained.module(images))


@pytest.mark.parametrize("order", ["models, timm", "timm, models"])
def test_models_are_registered_once_timm_and_the_models_are_imported(order):
    imports = {"models": "import tvtfast.models", "timm": "import timm"}
    code = "; ".join(
        [
            "import tvtfast, sys; assert 'timm' not in sys.modules",
            # beside a CPU build of torch, timm cannot be imported without it
            "from tvtfast.common.torchvision import ensure_torchvision; ensure_torchvision()",
            *(imports[name] for name in order.split(", ")),
            "assert timm.is_model('tvtfast_student')",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_models_load_timm_when_a_candidate_is_built():
    code = (
        "import tvtfast, tvtfast.models, tvtfast.scoring, tvtfast.searching, sys; "
        "assert not {'timm', 'torchvision'} & set(sys.modules); "
        "tvtfast.build(tvtfast.spaces.get('pit').sample(1, 0)[0], space='pit'); import timm; "
        "assert timm.is_model('tvtfast_student')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
