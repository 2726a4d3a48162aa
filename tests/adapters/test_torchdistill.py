"""Losses in torchdistill's registry, against its own."""

import pytest
import torch

from tvtfast import kernels
from tvtfast.adapters import torchdistill
from tvtfast.adapters.torchdistill import RELATIONS, FusedATLoss, RelationLoss


def out(x):
    return {"m": {"output": x}}


def pair(**student):
    return {
        "student": {"io": "output", "path": "m", **student},
        "teacher": {"io": "output", "path": "m"},
    }


def maps(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(4, 6, 5, 5, generator=generator, dtype=dtype).requires_grad_()
    return student, torch.randn(4, 9, 5, 5, generator=generator, dtype=dtype)


def attention(x):
    energy = x.square().mean(1).flatten(1)
    return energy / energy.norm(dim=1, keepdim=True)


def test_attention_transfer_is_its_formula():
    student, teacher = maps()
    expected = (attention(student) - attention(teacher)).square().mean()
    loss = FusedATLoss({"a": pair(), "b": {**pair(), "weight": 3}})(out(student), out(teacher))
    torch.testing.assert_close(loss, 4 * expected, rtol=1e-10, atol=0)
    (expected_gradient,) = torch.autograd.grad(4 * expected, student)
    (gradient,) = torch.autograd.grad(loss, student)
    # the gradient is computed in fp32: 2^-24 for each of some ten roundings
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def test_tokens_are_read_where_they_lie_and_resized_to_the_larger_grid():
    student, teacher = maps()
    teacher = teacher[..., :3, :3]
    tokens = torch.cat([torch.full((4, 1, 6), 1e3), student.flatten(2).mT], dim=1)
    loss = FusedATLoss({"a": pair(grid=[5, 5], prefix_tokens=1)})(out(tokens), out(teacher))
    larger = torch.nn.functional.interpolate(teacher, (5, 5), mode="bilinear")
    expected = (attention(student) - attention(larger)).square().mean()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("relation", RELATIONS)
def test_relations_train_the_student_alone(relation):
    student, teacher = maps()
    teacher.requires_grad_()
    loss = RelationLoss("m", "m", relation)(out(student), out(teacher))
    expected = getattr(kernels, f"relation_{relation}")(student.flatten(1), teacher.flatten(1))
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)
    loss.backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None
    assert RelationLoss("m", "m", relation)(out(teacher), out(teacher)).item() == 0


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match="mode='paper': FusedATLoss is mode 'code'; use ATLoss"):
        FusedATLoss({}, mode="paper")
    with pytest.raises(ValueError, match="unknown relation 'rkd_angel'.*did you mean rkd_angle"):
        RelationLoss("m", "m", "rkd_angel")


def test_a_missing_host_is_named(monkeypatch):
    monkeypatch.setattr("tvtfast.common.optional.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs torchdistill 1\.1 or newer.*\[hosts\]"):
        torchdistill.register()


def test_the_registry_makes_a_loss_with_the_values_of_its_own():
    registry = pytest.importorskip("torchdistill.losses.registry")
    torchdistill.register()
    student, teacher = maps(torch.float32)
    found = []
    for key in ("FusedATLoss", "ATLoss"):
        config = {"key": key, "kwargs": {"at_pairs": {"a": pair()}, "mode": "code"}}
        loss = registry.get_mid_level_loss(config)(out(student), out(teacher), None)
        found.append((loss, *torch.autograd.grad(loss, student)))
    (loss, gradient), (expected, expected_gradient) = found
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-7)
    assert registry.MIDDLE_LEVEL_LOSS_DICT["RelationLoss"] is RelationLoss
