"""TF_TAS' function, on a small supernet with the host's layout."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast.adapters import tf_tas
from tvtfast.models import inherit

INFO, DEVICE = ("random", 1, 5), torch.device("cpu")
SPACE = "autoformer-original-tiny"
CONFIG = {
    "layer_num": 2,
    "embed_dim": [96, 96],
    "mlp_ratio": [2.0, 1.5],
    "num_heads": [2, 1],
}


@pytest.fixture(scope="module")
def elastic(load_program):
    return load_program(Path(__file__).parents[1] / "elastic.py")


@pytest.fixture
def supernet(elastic):
    """The host keeps the parts of a candidate as attributes."""

    class Supernet(elastic.ElasticSupernet):
        def set_sample_config(self, config):
            super().set_sample_config(config)
            for name, value in config.items():
                setattr(self, f"sample_{name}", value)

    made = Supernet()
    made.set_sample_config(CONFIG)
    return made.eval()


@pytest.fixture(scope="module")
def loader():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 3, 32, 32, generator=generator), torch.arange(4))]


def slices(supernet, config):
    """Per layer how its weight is cut, and whether it is one of attention."""
    dim = config["embed_dim"][0]
    yield supernet.patch_embed_super.proj.weight, lambda weight: weight[:dim], None
    for block, heads, ratio in zip(
        supernet.blocks, config["num_heads"], config["mlp_ratio"], strict=False
    ):
        inner, hidden = 64 * heads, int(dim * ratio)

        def rows_in_turn(weight, inner=inner):
            return torch.cat([weight[part : 3 * inner : 3, :dim] for part in range(3)])

        yield block.attn.qkv.weight, rows_in_turn, True
        yield block.attn.proj.weight, lambda weight, inner=inner: weight[:dim, :inner], True
        yield block.fc1.weight, lambda weight, hidden=hidden: weight[:hidden, :dim], False
        yield block.fc2.weight, lambda weight, hidden=hidden: weight[:dim, :hidden], False
    yield supernet.head.weight, lambda weight: weight[:, :dim], False


def dss(supernet, config):
    """The paper's formula in fp64, on slices of the supernet."""
    supernet = deepcopy(supernet).double()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.abs_()
    supernet(torch.ones(1, 3, 32, 32).double()).sum().backward()
    total = 0.0
    for weight, cut, attention in slices(supernet, config):
        own, gradient = cut(weight.detach()), cut(weight.grad)
        if attention is True:
            nuclear = [torch.linalg.matrix_norm(x, "nuc").item() for x in (own, gradient)]
            total += nuclear[0] * nuclear[1]
        elif attention is False:
            total += (own * gradient).abs().sum().item()
    return total


def test_a_candidate_is_cut_out_of_the_supernet(supernet, loader):
    found = tf_tas.find_indicators(supernet, loader, INFO, DEVICE)
    assert supernet.training and list(found) == ["dss"] and type(found["dss"]) is float
    assert found["dss"] == pytest.approx(dss(supernet, CONFIG), rel=1e-4)


def test_norms_are_those_of_slices(supernet, loader):
    arrays = tf_tas.find_indicators_arrays(supernet, loader, INFO, DEVICE, ["weight_norm"])
    found = tf_tas.find_indicators(supernet, loader, INFO, DEVICE, indicators_arr=arrays)
    cut = [cut(weight.detach().double()) for weight, cut, _ in slices(supernet, CONFIG)]
    assert found["weight_norm"] == pytest.approx(sum(x.norm().item() for x in cut), rel=1e-6)


def test_the_next_candidate_and_new_weights_are_seen(supernet, loader, teacher):
    def found():
        return tf_tas.find_indicators(
            supernet, loader, INFO, DEVICE, indicator_names=["teacher_aware"], teacher=teacher
        )["teacher_aware"]

    def expected():
        model = inherit(supernet.sample_config, supernet, space=SPACE, img_size=(32, 32))
        return tvtfast.Measure(teacher=teacher)(model, loader[0][0])

    values = [found()]
    assert values[0] == expected()
    supernet.set_sample_config({**CONFIG, "num_heads": [1, 2]})
    values.append(found())
    assert values[1] == expected()
    with torch.no_grad():
        supernet.patch_embed_super.proj.weight.neg_()
    values.append(found())
    assert values[2] == expected() and len(set(values)) == 3


def test_a_module_is_the_candidate_itself(loader):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5))
    found = tf_tas.find_indicators(net, loader, INFO, DEVICE, indicator_names=["snip", "l2_norm"])
    F.cross_entropy(net(loader[0][0]), loader[0][1]).backward()
    weight = net[1].weight
    expected = {"snip": (weight * weight.grad).abs().sum().item(), "l2_norm": weight.norm().item()}
    assert found == pytest.approx(expected, rel=1e-5)


def test_what_is_not_set_or_not_known_is_refused(elastic, supernet, loader):
    with pytest.raises(ValueError, match="ElasticSupernet has no candidate; call set_sample_confi"):
        tf_tas.find_indicators(elastic.ElasticSupernet(), loader, INFO, DEVICE)
    with pytest.raises(ValueError, match="loss_fn is l1_loss"):
        tf_tas.find_indicators(supernet, loader, INFO, DEVICE, F.l1_loss, ["snip"])
    with pytest.raises(ValueError, match="autoformer-tiny"):
        tf_tas.find_indicators(supernet, loader, INFO, DEVICE, space="autoformer-tiny")
