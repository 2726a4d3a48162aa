"""Vision models of Hugging Face, tiny and untrained, against what they return themselves."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tvtfast
from tvtfast.adapters import transformers as adapter
from tvtfast.models import SpatialFeatures, UnsupportedModelError

VIT = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3}
VIT |= {"intermediate_size": 32, "image_size": 32, "patch_size": 8}
SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2]}
MODELS = {
    "ViT": (VIT, 1),
    "DeiT": (VIT, 2),
    "Dinov2WithRegisters": (VIT | {"num_register_tokens": 3}, 4),
    "SiglipVision": (VIT, 0),
    "Swin": (SWIN | {"window_size": 4}, None),
    "ConvNext": ({"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]}, None),
    "PvtV2": (
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "num_attention_heads": [1] * 4},
        None,
    ),
}


@pytest.fixture(scope="module")
def host():
    with pytest.MonkeyPatch.context() as patch:
        # It asks for the package `kernels` of the package index; beside our source folder that is
        # one which refuses to be imported.
        patch.setitem(sys.modules, "kernels", None)
        yield pytest.importorskip("transformers", exc_type=ImportError)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def make(host, name, **options):
    torch.manual_seed(0)
    family = name.removesuffix("ForImageClassification")
    kind = "" if family != name else "Model"
    options = MODELS.get(family, (VIT, 0))[0] | options
    return getattr(host, name + kind)(getattr(host, f"{family}Config")(**options)).eval()


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_features_are_the_hidden_states_on_their_grid(name, host, images):
    model, (options, prefix) = make(host, name), MODELS[name]
    outputs = model(pixel_values=images, output_hidden_states=True)
    states = getattr(outputs, "reshaped_hidden_states", None) or outputs.hidden_states
    found = adapter.features(model, images)
    assert len(found) == len(options.get("depths", range(3)))
    for one, state in zip(found, states[-len(found) :], strict=True):
        assert torch.equal(one.x, state)
        assert one.size == ((4, 4) if prefix is not None else tuple(state.shape[2:]))
        assert one.prefix_tokens == (prefix or 0)


def test_it_is_scored_like_any_other_model(host, images, teacher):
    model = make(host, "ViTForImageClassification", num_labels=10)
    assert not make(host, "ViT").training
    settings = {"images": images, "teacher": teacher, "on_error": "raise"}
    table = tvtfast.score(
        [model.train()], proxies=["teacher_aware"], feature_fn=adapter.features, **settings
    )
    assert model.training
    model.eval()
    with torch.no_grad():
        tokens = model(images, output_hidden_states=True).hidden_states[-1][:, 1:]
        maps = tokens.double().mT.unflatten(2, (4, 4))
        student, other = (
            torch.nn.functional.interpolate(x, size=(8, 8), mode="bilinear").square().mean(1)
            for x in (maps, teacher.features(images)[-1].x.double())
        )
    difference = student / student.norm(dim=(1, 2), keepdim=True)
    difference -= other / other.norm(dim=(1, 2), keepdim=True)
    expected = -difference.square().mean().item()
    assert table["teacher_aware"][0] == pytest.approx(expected, rel=1e-5)
    labels = torch.tensor([3, 7])
    wrapped = adapter.VisionModel(model)
    table = tvtfast.score(
        [wrapped], proxies=["teacher_aware", "grad_norm"], labels=labels, **settings
    )
    assert table["teacher_aware"][0] == pytest.approx(expected, rel=1e-5)
    torch.nn.functional.cross_entropy(model(images).logits, labels).backward()
    assert table["grad_norm"][0] > 0 and wrapped(images).shape == (2, 10)


@torch.no_grad()
def test_it_teaches(host, images):
    model = make(host, "ViTForImageClassification", num_labels=10)
    teacher = tvtfast.load_teacher(adapter.VisionModel(model))
    features, logits = teacher.features_and_logits(images)
    assert torch.equal(logits, model(images).logits) and len(features) == 3
    assert all(isinstance(one, SpatialFeatures) for one in features)
    bare = adapter.VisionModel(make(host, "ViT"))
    assert torch.equal(bare(images), bare.model(images).pooler_output)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "Yolos",
            {"image_size": [32, 32], "num_detection_tokens": 7},
            "returned 24 tokens, and patches of 8 in 32 x 32 pixels are 16",
        ),
        ("ViTMAE", {}, "returned 5 tokens, and patches"),
    ],
)
def test_tokens_that_are_no_grid_are_refused(name, options, message, host, images):
    with pytest.raises(UnsupportedModelError, match=f"{message}.*pass feature_fn="):
        adapter.features(make(host, name, **options), images)


class Shapes(TorchDispatchMode):
    """Shapes of all tensors that operators return."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.seen.add(tuple(tensor.shape))
        return result


@torch.no_grad()
def test_attentions_are_statistics_and_no_weights_are_formed(host, images):
    adapter.register_attention()
    model = make(host, "ViT")
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    expected = model(images)
    model.set_attn_implementation("eager")
    weights = model(images, output_attentions=True).attentions
    model.set_attn_implementation("tvtfast")
    assert model(images).attentions is None
    with Shapes() as shapes:
        outputs = model(images, output_attentions=True)
    assert (2, 3, 17, 17) not in shapes.seen
    torch.testing.assert_close(outputs.last_hidden_state, expected.last_hidden_state)
    for found, formed in zip(outputs.attentions, weights, strict=True):
        torch.testing.assert_close(found.class_row, formed[:, :, 0])
        torch.testing.assert_close(found.column_sums, formed.sum(-2))
        entropy = torch.special.entr(formed).sum(-1)
        torch.testing.assert_close(found.row_entropy, entropy, rtol=1e-5, atol=1e-5)


def test_statistics_have_gradients(host, images):
    adapter.register_attention()
    model = make(host, "ViT")
    model.set_attn_implementation("tvtfast")
    outputs = model(images, output_attentions=True)
    sum(one.row_entropy.mean() for one in outputs.attentions).backward()
    assert model.layers[0].attention.q_proj.weight.grad.abs().max() > 0


def test_a_mask_has_no_statistics(host, images):
    adapter.register_attention()
    model = make(host, "ViT")
    model.set_attn_implementation("tvtfast")
    mask = torch.ones(2, 17)
    mask[:, -1] = 0
    assert model(images, attention_mask=mask).attentions is None
    with pytest.raises(UnsupportedModelError, match="ViTAttention has a mask or bias; use"):
        model(images, attention_mask=mask, output_attentions=True)


def test_a_host_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs transformers 5\.0.*tvtfast\[hosts\]"):
        adapter.register_attention()
