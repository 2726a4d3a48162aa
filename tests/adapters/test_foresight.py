"""foresight's functions, and proxies among its measures."""

import types

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast.adapters import foresight

INFO = ("random", 1, 10)
DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def loader():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 16, 16, generator=generator)
    return [(images, torch.arange(6))]


@pytest.fixture
def net():
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}
    made = timm.create_model("vit_tiny_patch16_224", num_classes=10, **sizes)
    tvtfast.initialize_(made, seed=0)
    nn.init.trunc_normal_(made.head.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    return made


def layers(net):
    return [layer for layer in net.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def host_measures(net, images, labels):
    """Formulas of the host, in fp64."""
    net = net.double()
    F.cross_entropy(net(images.double()), labels).backward()
    pairs = [(layer.weight, layer.weight.grad) for layer in layers(net)]
    return {
        "grad_norm": sum(gradient.norm() for _, gradient in pairs).item(),
        "snip": sum((weight * gradient).abs().sum() for weight, gradient in pairs).item(),
        "plain": sum((weight * gradient).sum() for weight, gradient in pairs).item(),
        "l2_norm": sum(weight.norm() for weight, _ in pairs).item(),
    }


def test_values_types_and_traces_are_those_of_the_host(net, loader):
    names = ["grad_norm", "snip", "plain", "l2_norm"]
    net.eval()
    found = foresight.find_measures(net, loader, INFO, DEVICE, measure_names=names)
    assert net.training and all(parameter.grad is None for parameter in net.parameters())
    assert list(found) == names and all(type(value) is float for value in found.values())
    assert found == pytest.approx(host_measures(net, *loader[0]), rel=1e-4)


def test_arrays_sum_up_to_measures(net, loader):
    names = ["jacob_cov", "weight_norm"]
    arrays = foresight.find_measures_arrays(net, loader, INFO, DEVICE, names)
    assert type(arrays["jacob_cov"]) is float
    assert [array.shape for array in arrays["weight_norm"]] == [()]
    found = foresight.find_measures(net, loader, INFO, DEVICE, measures_arr=arrays)
    assert found == foresight.find_measures(net, loader, INFO, DEVICE, measure_names=names)


def test_what_the_host_computes_unasked_is_computed(net, loader):
    found = foresight.find_measures(net, loader, ("grasp", 1, 6), DEVICE)
    assert tuple(found) == foresight.MEASURES


def test_a_teacher_looks_on(net, loader, teacher):
    name = "teacher_aware"
    found = foresight.find_measures(
        net, loader, INFO, DEVICE, measure_names=[name], teacher=teacher
    )
    assert found == {name: tvtfast.Measure(name, teacher=teacher)(net, loader[0][0])}


def test_gradients_of_another_loss_are_refused(net, loader):
    with pytest.raises(ValueError, match="loss_fn is l1_loss, and 'snip' is made of gradients"):
        foresight.find_measures(net, loader, INFO, DEVICE, F.l1_loss, ["l2_norm", "snip"])
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    with pytest.raises(ValueError, match="loss_fn is CrossEntropyLoss"):
        foresight.find_measures(net, loader, INFO, DEVICE, smoothed, ["snip"])
    plain = nn.CrossEntropyLoss()
    assert foresight.find_measures(net, loader, INFO, DEVICE, plain, ["snip"])["snip"] > 0
    assert foresight.find_measures(net, loader, INFO, DEVICE, F.l1_loss, ["l2_norm"])["l2_norm"] > 0


def test_what_cannot_be_scored_says_why(net, loader):
    with pytest.raises(ValueError, match="unknown proxy 'snap'.*did you mean.*snip"):
        foresight.find_measures(net, loader, INFO, DEVICE, measure_names=["snap"])
    with pytest.raises(tvtfast.ScoringError, match="forward_intermediates"):
        foresight.find_measures(nn.Linear(2, 2), loader, INFO, DEVICE, measure_names=["zen"])


class Measures(types.ModuleType):
    """The host's table of measures, as far as it can be told from its decorator."""

    def __init__(self):
        super().__init__("measures")
        self.known = {}

    def measure(self, name, bn=True, copy_net=True, force_clean=True, **impl_args):
        def keep(function):
            if name in self.known:
                raise KeyError(f"Duplicated measure! {name}")
            self.known[name] = function, copy_net
            return function

        return keep


def test_proxies_become_measures_of_the_host(net, loader, teacher):
    measures, (images, labels) = Measures(), loader[0]
    foresight.register(measures, "teacher_aware", "weight_norm", teacher=teacher)
    assert list(measures.known) == ["teacher_aware", "weight_norm"]
    for name, (function, copies) in measures.known.items():
        (array,) = function(net, images, labels, loss_fn=F.cross_entropy, split_data=1)
        assert array.item() == tvtfast.Measure(name, teacher=teacher)(net, images)
        assert not copies
    with pytest.raises(KeyError, match="Duplicated"):
        foresight.register(measures, "weight_norm")
    with pytest.raises(ValueError, match="teacher"):
        foresight.register(measures, "dss", "teacher_aware")
    assert "dss" not in measures.known
