"""Auto-Prox' function, on a stand-in of its wrapper around student and teacher."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast
from tvtfast.adapters import autoprox

INFO, DEVICE = ("random", 1, 10), torch.device("cpu")
SIDE = 12


class Hooked(nn.Module):
    """Blocks whose outputs hooks keep in ``features``, as in the host."""

    def __init__(self, *blocks):
        super().__init__()
        self.blocks, self.features = nn.ModuleList(blocks), []
        for block in blocks:
            block.register_forward_hook(lambda module, inputs, x: self.features.append(x))
        self.register_forward_pre_hook(lambda module, inputs: self.features.clear())
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Wrapper(nn.Module):
    def __init__(self, student, teacher, side):
        super().__init__()
        self.student_model, self.teacher_model = student, teacher
        self.teacher_img_size = side

    def forward(self, x):
        return self.student_model(x)


@pytest.fixture
def wrapper():
    torch.manual_seed(0)
    student = Hooked(nn.Conv2d(3, 6, 4, 4), nn.Sequential(nn.GELU(), nn.Conv2d(6, 8, 1)))
    norm = nn.BatchNorm2d(5)
    teacher = Hooked(nn.Sequential(nn.Conv2d(3, 5, 2, 2), norm, nn.ReLU()))
    made = Wrapper(student, teacher, SIDE)
    images = torch.randn(2, 3, 16, 16)
    made.student_model(images), made.teacher_model(F.interpolate(images, (SIDE, SIDE)))
    return made


@pytest.fixture(scope="module")
def loader():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(4, 3, 16, 16, generator=generator), torch.arange(4), "features")]


def host_tvt(wrapper, images):
    """The host's formula in fp64: likeness of attention maps, and the sum of weight norms."""

    def attention(x, size):
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        return F.normalize(x.square().mean(1).flatten(1))

    wrapper = wrapper.double().eval()
    wrapper.student_model(images.double())
    seen = F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False)
    wrapper.teacher_model(seen.double())
    student, teacher = (net.features[-1] for net in (wrapper.student_model, wrapper.teacher_model))
    size = max(student.shape[2:], teacher.shape[2:])
    likeness = -(attention(student, size) - attention(teacher, size)).square().mean()
    weights = [m.weight for m in wrapper.student_model.modules() if hasattr(m, "weight")]
    return likeness.item(), sum(weight.norm() for weight in weights).item()


def test_tvt_is_a_pair_and_leaves_no_trace(wrapper, loader):
    kept = [net.features for net in (wrapper.student_model, wrapper.teacher_model)]
    contents = [list(features) for features in kept]
    wrapper.train()
    statistics = wrapper.teacher_model.blocks[0][1].running_mean.clone()
    found = autoprox.find_measures(wrapper, loader, INFO, DEVICE, F.cross_entropy, ["tvt"])
    assert type(found) is tuple
    assert [list(features) for features in kept] == contents
    assert wrapper.training and wrapper.teacher_model.training
    assert torch.equal(wrapper.teacher_model.blocks[0][1].running_mean, statistics)
    assert found == pytest.approx(host_tvt(wrapper, loader[0][0]), rel=1e-4)


def test_other_measures_are_floats(wrapper, loader):
    images, labels, _ = loader[0]
    for name, own in {"jacov": "jacob_cov", "nwot": "naswot", "snip": "snip"}.items():
        found = autoprox.find_measures(wrapper, loader, INFO, DEVICE, F.cross_entropy, [name])
        expected = tvtfast.Measure(own)(wrapper.student_model, images, labels)
        assert type(found) is float and found == expected


def test_a_student_alone_and_a_teacher_beside_it(wrapper, loader, teacher):
    student, (images, *_) = wrapper.student_model, loader[0]
    asked = (loader, INFO, DEVICE, F.cross_entropy, ["teacher_aware"])
    measure = tvtfast.Measure(teacher=teacher, feature_fn=autoprox.features)
    assert autoprox.find_measures(student, *asked, teacher=teacher) == measure(student, images)
    assert autoprox.find_measures(wrapper, *asked, teacher=teacher) == measure(student, images)
    assert autoprox.find_measures(wrapper, *asked) != measure(student, images)
    with pytest.raises(ValueError, match="teacher"):
        autoprox.find_measures(student, *asked)


def test_one_measure_and_its_loss(wrapper, loader):
    with pytest.raises(ValueError, match="name one, one number is returned"):
        autoprox.find_measures(wrapper, loader, INFO, DEVICE, F.cross_entropy, ["tvt", "snip"])
    with pytest.raises(ValueError, match="loss_fn is l1_loss"):
        autoprox.find_measures(wrapper, loader, INFO, DEVICE, F.l1_loss, ["snip"])
