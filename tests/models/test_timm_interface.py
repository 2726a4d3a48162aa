"""Candidates are whole models of timm: what its own tests ask of every model."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import timm
import torch
from timm.models import FeatureInfo, group_parameters
from timm.optim import create_optimizer_v2
from torch import nn

import tvtfast

VIT = {"hidden_dim": 24, "depth": 3, "mlp_ratio": [2.0] * 3, "num_heads": [3] * 3}
DEIT = {
    "patch_size": 16,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": [3] * 3,
    "qkv_dim": [36] * 3,
    "mlp_dim": [24] * 3,
}
TWINS = {
    "embed_dim": [8, 12, 16, 20],
    "depth": [2, 1, 2, 1],
    "attention": ["local", "global", "global", "local", "global", "local"],
    "num_heads": [1, 2, 2, 1, 2, 1],
    "qkv_dim": [12, 12, 12, 24, 24, 12],
    "mlp_dim": [8, 8, 8, 8, 8, 8],
}
ARCHS = {
    "autoformer-tiny": VIT,
    "autoformer-original-tiny": VIT,
    "pit": {"base_dim": 4, "mlp_ratio": 2, "depth": [2, 1, 2], "num_heads": [1, 2, 4]},
    "vitas-deit": DEIT,
    "vitas-twins": TWINS,
    "asvit": "6,4,2,2|3,2,2,1|2,1,2,2|2,1,2,1|16,8",
}
POOLED = ("autoformer-tiny", "autoformer-original-tiny", "pit", "vitas-deit")
"""Spaces whose classifiers have a choice."""
SIDE = 64
SIZES = {"img_size": SIDE, "num_classes": 7}
every_space = pytest.mark.parametrize("space", ARCHS)
one_head_or_two = pytest.mark.parametrize(
    ("space", "distilled"),
    [*((space, False) for space in ARCHS), *((space, True) for space in ("pit", "asvit"))],
)


def student(space, **options):
    return tvtfast.build(ARCHS[space], space=space, **SIZES | options)


def images(count=2, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, SIDE, SIDE, generator=generator)


def made_by_timm(space, **options):
    options = SIZES | options
    return timm.create_model("tvtfast_student", space=space, arch=ARCHS[space], **options)


@one_head_or_two
@torch.no_grad()
def test_sizes_and_layers_are_those_that_are_stated(space, distilled):
    model, x = student(space, distilled=distilled, in_chans=2), images(channels=2)
    tokens = model.forward_features(x)
    assert tokens.shape[-1] == model.num_features == model.embed_dim
    read = model.forward_head(tokens, pre_logits=True)
    assert read.shape == (2, model.head_hidden_size)
    assert torch.equal(model.forward_head(tokens), model(x))
    cfg, weights = model.default_cfg, model.state_dict()
    assert cfg is model.pretrained_cfg and cfg["input_size"] == (2, SIDE, SIDE)
    assert weights[f"{cfg['first_conv']}.weight"].shape[1] == model.in_chans == 2
    heads = cfg["classifier"] if distilled else [cfg["classifier"]]
    found = model.get_classifier() if distilled else (model.get_classifier(),)
    assert [weights[f"{name}.weight"].shape for name in heads] == [h.weight.shape for h in found]
    assert cfg["num_classes"] == model.num_classes == found[0].out_features == 7


@one_head_or_two
@torch.no_grad()
def test_a_classifier_can_be_taken_off_and_put_on(space, distilled):
    model, x = student(space, distilled=distilled), images()
    read = model.forward_head(model.forward_features(x), pre_logits=True)
    for bare in (
        student(space, distilled=distilled, num_classes=0),
        made_by_timm(space, distilled=distilled, num_classes=0).eval(),
    ):
        assert bare.num_classes == 0 and torch.equal(bare(x), read)
    model.reset_classifier(0)
    assert model.num_classes == 0 and torch.equal(model(x), read)
    model.reset_classifier(0, "")
    tokens = model.forward_features(x)
    assert torch.equal(model(x), model.norm(tokens))
    unpooled = made_by_timm(space, distilled=distilled, num_classes=0, global_pool="").eval()
    assert torch.equal(unpooled(x), model(x))
    model.double().reset_classifier(5, model.global_pools[0])
    assert model(x.double()).shape == (2, 5) and model.global_pool == model.global_pools[0]


@pytest.mark.parametrize("space", POOLED)
@torch.no_grad()
def test_what_the_classifier_reads_can_be_changed(space):
    token, mean = (student(space, pool=pool, distilled=True) for pool in ("token", "avg"))
    x = images()
    assert not torch.equal(token(x), mean(x))
    again = made_by_timm(space, global_pool="avg", distilled=True).eval()
    assert torch.equal(again(x), mean(x)) and again.global_pool == "avg"
    token.reset_classifier(0, "avg")
    mean.reset_classifier(0)
    assert torch.equal(token(x), mean(x))


def test_what_cannot_be_read_is_refused():
    model = student("asvit")
    with pytest.raises(ValueError, match="global_pool is 'token'; allowed: avg"):
        model.reset_classifier(3, "token")
    with pytest.raises(ValueError, match="num_classes is -1"):
        model.reset_classifier(-1)
    with pytest.raises(ValueError, match="asvit: pool is 'token'"):
        made_by_timm("asvit", global_pool="token")
    with pytest.raises(ValueError, match=r"drop_rate is 0\.5.*drop_path_rate"):
        made_by_timm("pit", drop_rate=0.5)
    made_by_timm("pit", drop_rate=0.0)


@one_head_or_two
def test_every_parameter_learns_with_and_without_checkpoints(space, distilled):
    model, x = student(space, distilled=distilled, drop_path_rate=0.1).train(), images()
    gradients = []
    for checkpointed in (False, True):
        model.zero_grad(set_to_none=True)
        model.set_grad_checkpointing(checkpointed)
        torch.manual_seed(0)
        model(x).square().mean().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for kept, computed_again in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, computed_again)


@every_space
def test_checkpoints_keep_less(space):
    """Tensors that the graph holds for the backward pass."""

    def kept(model):
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(images(16))
        return sum(sizes)

    model = student(space)
    before = kept(model)
    model.set_grad_checkpointing()
    assert kept(model) < 0.7 * before


@every_space
@torch.no_grad()
def test_intermediates_are_those_of_feature_info(space):
    model, x = student(space), images()
    info = FeatureInfo(model.feature_info, len(model.feature_info))
    assert len(info) >= 3
    final, maps = model.forward_intermediates(x)
    assert torch.equal(final, model.forward_features(x))
    for channels, stride, found in zip(info.channels(), info.reduction(), maps, strict=True):
        assert found.shape[:2] == (2, channels)
        assert all(side <= math.ceil(SIDE / stride) + 1 for side in found.shape[2:])
    assert all(model.get_submodule(info["module"]) is not None for info in model.feature_info)


@every_space
@torch.no_grad()
def test_blocks_that_nobody_asked_for_are_left_out(space):
    model, x = student(space), images()
    everything = model.forward_intermediates(x, intermediates_only=True)
    ran = []
    for block in model.modules():
        if hasattr(block, "norm2"):
            block.register_forward_hook(lambda *_: ran.append(1))
    for indices in ([0], [1, 0], [0, -1], 1):
        del ran[:]
        found = model.forward_intermediates(
            x, indices, stop_early=True, intermediates_only=True, output_fmt="NCHW"
        )
        numbers = [len(everything) - 1] if indices == 1 else indices
        assert all(torch.equal(one, everything[i]) for one, i in zip(found, numbers, strict=True))
        is_short = indices in ([0], [1, 0])
        assert (len(ran) < sum(hasattr(m, "norm2") for m in model.modules())) == is_short


@every_space
def test_parameters_have_layers_and_decay(space):
    model = student(space, distilled=True)
    for coarse in (False, True):
        layers = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
        assert layers.keys() == dict(model.named_parameters()).keys()
        assert min(layers.values()) == 0 and layers["head.weight"] == max(layers.values())
        assert layers[f"{model.default_cfg['first_conv']}.weight"] == 0
    assert model.no_weight_decay() <= {"pos_embed", "cls_token", "dist_token"}
    assert ("cls_token" in model.no_weight_decay()) == hasattr(model, "cls_token")
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.1, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            exempt = parameter.ndim <= 1 or names[id(parameter)] in model.no_weight_decay()
            assert group["weight_decay"] == (0 if exempt else 0.1)


@every_space
def test_both_ways_make_the_same_model(space):
    model, other = student(space, seed=3), made_by_timm(space, seed=3)
    assert type(model) is type(other)
    weights = other.state_dict()
    assert all(torch.equal(x, weights[name]) for name, x in model.state_dict().items())
    described = {name: other.pretrained_cfg[name] for name in model.pretrained_cfg}
    assert described == model.pretrained_cfg and other.default_cfg is other.pretrained_cfg
    with torch.no_grad():
        expected = model(images())
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(twin(images()), expected)


def test_defaults_of_timm_are_those_of_build():
    model = timm.create_model("tvtfast_student", arch="pit-ti", img_size=64)
    assert model.num_classes == tvtfast.build("pit-ti", img_size=64).num_classes
    model = timm.create_model("tvtfast_student", space="autoformer-tiny", arch=VIT, img_size=32)
    assert model.num_classes == 100 and model.pretrained_cfg["input_size"] == (3, 32, 32)
    overlay = {"mean": (0.5,) * 3}
    model = made_by_timm("pit", pretrained_cfg_overlay=overlay)
    assert model.pretrained_cfg["mean"] == (0.5,) * 3 and model.num_classes == 7


@pytest.mark.slow
@every_space
def test_it_is_one_graph(space):
    model, x = student(space), images()
    model.set_grad_checkpointing()
    expected = model(x)
    torch._dynamo.reset()
    found = torch.compile(model, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found.sum().backward()


class OwnBlocks(tvtfast.models.CandidateModel):
    """A user's model that runs its blocks by itself."""

    def __init__(self, options):
        super().__init__(options, None)
        self.block = nn.Conv2d(3, 4, 16, 16)
        self.add_classifier(4)

    def block_features(self, images):
        x = self.block(images)
        yield tvtfast.models.SpatialFeatures(x.flatten(2).mT, tuple(x.shape[2:]))

    def pool(self, tokens):
        return tokens.mean(1), tokens.mean(1)


def test_models_of_users_say_what_they_do_not_do():
    model = OwnBlocks(tvtfast.spaces.ModelOptions(img_size=32, num_classes=3))
    with pytest.raises(ValueError, match="OwnBlocks does not run its blocks through run_block"):
        model.set_grad_checkpointing()
    model.set_grad_checkpointing(False)
    with pytest.raises(ValueError, match="no distillation head; build it with distilled=True"):
        model.set_distilled_training()
    model.reset_classifier(5)
    assert model(images()).shape == (2, 5) and model.num_features == 4
