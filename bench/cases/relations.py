"""Relations between the features of a student and a teacher."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.case import Builder, Case, costs, together
from tvtfast import kernels

FORMS = ("eager", "torch.compile")


def eager_similarity(x: Tensor, teacher: Tensor) -> Tensor:
    return (normalize(x @ x.T) - normalize(teacher @ teacher.T)).square().mean()


def eager_distance_relation(x: Tensor, teacher: Tensor) -> Tensor:
    """The form of the published code, with centred samples so that it does not cancel."""

    def lengths(x: Tensor) -> Tensor:
        x = x - x.mean(0)
        squares = x.square().sum(1)
        squared = squares[:, None] + squares - 2 * (x @ x.T)
        return squared.clamp_min(1e-12).sqrt().fill_diagonal_(0)

    return (lengths(x) - lengths(teacher)).square().mean()


def eager_rkd_angle(x: Tensor, teacher: Tensor) -> Tensor:
    """The form of the published code: all B^2 differences of samples."""

    def angles(x: Tensor) -> Tensor:
        towards = normalize(x[None] - x[:, None], dim=2)
        return torch.bmm(towards, towards.mT)

    return (angles(x) - angles(teacher)).square().mean()


def eager_nst(x: Tensor, teacher: Tensor) -> Tensor:
    x, teacher = normalize(x, dim=2), normalize(teacher, dim=2)
    own, cross = torch.bmm(x, x.mT), torch.bmm(x, teacher.mT)
    return own.square().mean() - 2 * cross.square().mean()


RELATIONS: dict[str, tuple[int, Callable[..., Tensor], Callable[..., Tensor]]] = {
    "batch_similarity": (64, kernels.relation_batch_similarity, eager_similarity),
    "distance": (64, kernels.relation_distance, eager_distance_relation),
    "rkd_angle": (16, kernels.relation_rkd_angle, eager_rkd_angle),
    "nst": (64, kernels.relation_nst, eager_nst),
}
"""Images, our form and the eager one; the published angles of 64 images would fill gigabytes."""


def call_costs(name: str, student: Tensor, teacher: Tensor) -> tuple[int, int]:
    """Of the operators that a relation calls: two Gram matrices, and the distance of angles.

    What plain PyTorch does with the matrices, which are small beside the features, is not counted,
    but for the lengths of the teacher's channels, a pass over them.
    """
    if name == "nst":
        own, cross = costs("gram", student, None, False), costs("gram", student, teacher, False)
        return together(own, cross, (teacher.nbytes, 2 * teacher.numel()))
    samples = student[None], teacher[None]
    calls = [costs("gram", x, None, name in ("distance", "rkd_angle")) for x in samples]
    if name == "rkd_angle":
        products = samples[0].new_empty(1, len(student), len(student))
        calls.append(costs("angle_distance", products, products))
    return together(*calls)


def case(device: str, name: str) -> Case:
    images, ours, eager = RELATIONS[name]
    student, teacher = (torch.randn(images, channels, 196, device=device) for channels in (192, 64))
    pair = (student, teacher) if name == "nst" else (student.flatten(1), teacher.flatten(1))
    compiled = torch.compile(eager)

    def check() -> None:
        exact = eager(*(x.double() for x in pair))
        torch.testing.assert_close(ours(*pair).double(), exact, rtol=1e-4, atol=1e-9)

    return Case(
        f"relation_{name}",
        f"{images}x196x192 against {images}x196x64",
        lambda: ours(*pair),
        {"eager": lambda: eager(*pair), "torch.compile": lambda: compiled(*pair)},
        check,
        *call_costs(name, *pair),
    )


def cases(device: str) -> dict[str, Builder]:
    return {name: partial(case, device, name) for name in RELATIONS}
