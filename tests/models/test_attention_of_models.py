"""attention_stats of models nobody here wrote, against the softmax operations that PyTorch ran."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

import tvtfast
from tvtfast import spaces
from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.models import attention_stats

SOFTMAX = {torch.ops.aten._softmax.default, torch.ops.aten._safe_softmax.default}


class Softmaxes(TorchDispatchMode):
    """Results of all softmax operations over the last axis, in their order."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if function in SOFTMAX and result.dim() >= 3:
            self.found.append(result.clone())
        return result


@contextlib.contextmanager
def fused(model, on):
    """timm's modules with their fused attention on or off."""
    parts = [part for part in model.modules() if hasattr(part, "fused_attn")]
    before = [part.fused_attn for part in parts]
    for part in parts:
        part.fused_attn = on
    yield
    assert all(part.fused_attn == on for part in parts)
    for part, flag in zip(parts, before, strict=True):
        part.fused_attn = flag


def formed_weights(model, images):
    """Every attention map, formed in the open."""
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), fused(model, False), plain, Softmaxes() as softmaxes:
        model.eval()(images)
    return softmaxes.found


def heads_second(weights, layer):
    """Heads share an axis with images (``[B H, N, M]``), follow windows (``[B, W, H, N, M]``) or
    images."""
    if weights.dim() == 5:
        weights = weights.flatten(0, 1)
    assert weights.numel() % (layer.heads * layer.queries * layer.keys) == 0
    return weights.reshape(-1, layer.heads, layer.queries, layer.keys)


def check(model, images, assert_stats, left_out=()):
    """Statistics of all layers but some are those of the softmax operations, in their order."""
    found = attention_stats(model, images, statistics=STATISTICS)
    weights = formed_weights(model, images)
    assert len(found) + len(left_out) == len(weights)
    served = [x for position, x in enumerate(weights) if position not in left_out]
    for (name, actual), formed in zip(found.items(), served, strict=True):
        layer = found.layers[name]
        formed = heads_second(formed, layer)
        assert len(formed) == len(images) * layer.windows, name
        assert formed.isfinite().all() and formed.std() > 0 or formed.shape[-1] == 1
        assert_stats(actual, formed)
    return found


TIMM = {
    "beit_base_patch16_224": {"img_size": 48, "depth": 2, "embed_dim": 24, "num_heads": 3},
    "coatnet_0_rw_224": {"img_size": 64},
    "deit_tiny_distilled_patch16_224": {"img_size": 48, "depth": 2},
    "eva02_tiny_patch14_224": {"img_size": 42, "depth": 2},
    "levit_128s": {"img_size": 64, "depth": (1, 1, 1)},
    "maxvit_tiny_rw_224": {"img_size": 64},
    "mobilevit_s": {},
    "mvitv2_tiny": {"img_size": 64},
    "naflexvit_base_patch16_gap": {"embed_dim": 48, "depth": 2, "num_heads": 3},
    "pit_ti_224": {"img_size": 64},
    "samvit_base_patch16": {
        **{"img_size": 64, "depth": 2, "global_attn_indexes": (1,), "window_size": 3},
        **{"embed_dim": 48, "num_heads": 3},
    },
    "swin_tiny_patch4_window7_224": {
        **{"img_size": 56, "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 16}
    },
    "swinv2_tiny_window8_256": {
        **{"img_size": 64, "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 16}
    },
    "tiny_vit_5m_224": {},
    "vit_relpos_small_patch16_224": {"img_size": 48, "depth": 2},
    "vit_tiny_patch16_224": {"img_size": 48, "depth": 2},
    "vit_tiny_r_s16_p8_224": {"img_size": 64, "depth": 2},
}
"""Models of timm of which every layer is served, small."""


@pytest.mark.parametrize("on", (True, False))
@pytest.mark.parametrize("name", TIMM)
def test_timm(name, on, spread, assert_stats):
    model = spread(timm.create_model(name, **TIMM[name]))
    size = TIMM[name].get("img_size", 64)
    with fused(model, on):
        found = check(model, torch.randn(2, 3, size, size), assert_stats)
    assert not found.left_out


def test_windows_and_pooled_keys(spread, assert_stats):
    """Twins: windows with heads behind them, and keys pooled over all of the image."""
    model = spread(timm.create_model("twins_svt_small", depths=(2, 2, 2, 2)))
    found = check(model, torch.randn(1, 3, 224, 224), assert_stats)
    layers = list(found.layers.values())
    sizes = [(x.heads, x.windows, x.queries, x.keys) for x in layers[:4]]
    assert sizes == [(2, 64, 49, 49), (2, 1, 3136, 49), (4, 16, 49, 49), (4, 1, 784, 49)]


@pytest.mark.parametrize(
    ("name", "options", "left_out", "reason"),
    [
        ("cait_xxs24_224", {"img_size": 48, "depth": 2}, (0, 1), "mixes the weights of its heads"),
        ("xcit_nano_12_p16_224", {"img_size": 48, "depth": 2}, (0, 1), "between channels"),
        ("volo_d1_224", {"img_size": 64}, (0, 1, 2, 3), "there are no keys"),
    ],
)
def test_layers_left_out(name, options, left_out, reason, spread, assert_stats):
    """Those are named with a reason, and the others served."""
    model = spread(timm.create_model(name, **options))
    size = options["img_size"]
    with pytest.warns(UserWarning, match=f"leaves out .*{reason}.* and {len(left_out) - 1} more"):
        found = check(model, torch.randn(2, 3, size, size), assert_stats, left_out)
    assert len(found.left_out) == len(left_out)
    assert all(reason in why for why in found.left_out.values())


@pytest.mark.parametrize("name", ("asvit", "vitas-twins"))
def test_candidates_with_windows(name, spread, assert_stats):
    space = spaces.get(name)
    model = spread(tvtfast.build(space.sample(1, seed=0)[0], space=space))
    found = check(model, torch.randn(1, 3, 224, 224), assert_stats)
    assert max(layer.windows for layer in found.layers.values()) == 64
    assert not found.left_out


def torchvision_models():
    size = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 3}
    vit = torchvision.models.VisionTransformer(**size, hidden_dim=24, mlp_dim=48)
    swin = torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4]
    )
    return {"vit": vit, "swin": swin}


@pytest.mark.parametrize("name", ("vit", "swin"))
def test_torchvision(name, spread, assert_stats):
    """torch.nn.MultiheadAttention, whose weights nobody forms, and windows that wrap around."""
    model = spread(torchvision_models()[name])
    images = torch.randn(2, 3, 32, 32)
    found = attention_stats(model, images, statistics=STATISTICS)
    if name == "vit":
        inputs = {}
        for key in found:
            model.get_submodule(key).register_forward_pre_hook(
                lambda module, given, key=key: inputs.update({key: given})
            )
        with torch.no_grad():
            model(images)
            weights = [
                model.get_submodule(key)(*inputs[key], average_attn_weights=False)[1]
                for key in found
            ]
    else:
        weights = formed_weights(model, images)
    assert len(found) == len(weights) >= 2
    for (key, actual), formed in zip(found.items(), weights, strict=True):
        assert_stats(actual, heads_second(formed, found.layers[key]))


@pytest.fixture
def transformers(monkeypatch):
    # It asks for the package `kernels` of the package index; beside our source folder that is one
    # which refuses to be imported.
    monkeypatch.setitem(sys.modules, "kernels", None)
    return pytest.importorskip("transformers", exc_type=ImportError)


@pytest.mark.parametrize("name", ("ViT", "Dinov2", "Beit", "CLIPVision", "Swin"))
def test_hugging_face(name, transformers, spread, assert_stats):
    """Through sdpa as through eager attention, which returns its weights or runs their softmax."""
    small = {"image_size": 32, "patch_size": 8, "hidden_size": 32, "intermediate_size": 37}
    options = {**small, "num_hidden_layers": 2, "num_attention_heads": 4}
    if name == "Swin":
        options = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2]}
        options |= {"num_heads": [2, 4], "window_size": 4}
    images, weights = torch.randn(2, 3, 32, 32), None
    for attention in ("eager", "sdpa"):
        config = getattr(transformers, f"{name}Config")(**options, attn_implementation=attention)
        model = spread(getattr(transformers, f"{name}Model")(config))
        weights = formed_weights(model, images) if weights is None else weights
        found = attention_stats(model, images, statistics=STATISTICS)
        assert len(found) == len(weights) >= 2 and not found.left_out
        for (key, actual), formed in zip(found.items(), weights, strict=True):
            assert_stats(actual, heads_second(formed, found.layers[key]))


PAGE = Path(__file__).parents[2] / "docs" / "attention.md"
ROW = re.compile(r"\| `(\w+)` \| (\d+) of (\d+) \|([^|]*)\|([^|]*)\|")
ROWS = ROW.findall(PAGE.read_text()) if PAGE.exists() else []


def kinds(layers):
    """How the queries of some layers see keys, in the words of the page."""
    found = []
    for layer in layers:
        if layer.queries == 1 < layer.keys:
            word = "class token"
        elif layer.windows > 1:
            word = "windows"
        else:
            word = "all tokens" if layer.queries == layer.keys else "pooled tokens"
        found += [word] if word not in found else []
    return ", ".join(found)


def test_the_page_lists_models():
    if not PAGE.exists():
        pytest.skip(f"{PAGE} does not lie beside the tests")
    assert len(ROWS) == len({row[0] for row in ROWS}) == 21
    assert {*TIMM} < {row[0] for row in ROWS}


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_full_models(row):
    """What the page says of a model is so, as timm makes it, of its own size, SAM of 256 pixels."""
    name, served, layers, seen, reason = row
    model = timm.create_model(name, **({"img_size": 256} if name.startswith("samvit") else {}))
    size = 256 if name.startswith("samvit") else model.default_cfg["input_size"][-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = attention_stats(model, torch.randn(1, 3, size, size))
    assert (len(found), len(found) + len(found.left_out)) == (int(served), int(layers))
    assert kinds(found.layers.values()) == seen.strip()
    assert reason.strip() == "; ".join(dict.fromkeys(found.left_out.values()))
