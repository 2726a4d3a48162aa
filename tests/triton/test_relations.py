"""Gram matrices and angles of the interpreted kernels against fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import gram, relation_rkd_angle
from tvtfast.kernels.angle_distance import reference
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
STEP, SPAN, TILE, BLOCK = 64, 128, 64, 32


def layouts(dtype: torch.dtype, matrices: int, rows: int, length: int) -> dict[str, Tensor]:
    """Rows ``[K, n, M]`` in every layout the kernel tells apart."""
    x = torch.randn(matrices, rows, length).to(dtype)
    wide = torch.randn(matrices, 2 * rows, 2 * length + 1).to(dtype)
    return {
        "rows": x,
        "columns": x.mT.contiguous().mT,
        "prefix": torch.randn(matrices, 1 + length, rows).to(dtype)[:, 1:].mT,
        "unaligned": wide[:, :rows, 1 : 1 + length],
        "every other": wide[:, ::2, 1::2],
        "expanded": x[:1].expand(matrices, -1, -1),
    }


def assert_products(actual: Tensor, x: Tensor, y: Tensor, name: str = "") -> None:
    bound = OPERATORS["gram"].tolerance(torch.float32, x.shape[-1])
    lengths = x.norm(dim=-1).unsqueeze(-1) * y.norm(dim=-1).unsqueeze(-2)
    assert actual.dtype == torch.float32 and actual.shape == lengths.shape
    assert ((actual - x @ y.mT).abs() <= bound * lengths).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", (1, 7, TILE - 1, TILE, TILE + 1))
def test_rows(poisoned: None, dtype: torch.dtype, rows: int) -> None:
    for name, x in layouts(dtype, 2 if rows < TILE else 1, rows, 37).items():
        exact = x.double()
        assert_products(gram(x, backend="triton"), exact, exact, name)
        exact = exact - exact[:, :1]
        assert_products(gram(x, relative=True, backend="triton"), exact, exact, name)


@pytest.mark.parametrize("length", (1, STEP - 1, STEP + 1, 197, SPAN, SPAN + 1, 3 * SPAN + 5))
@pytest.mark.parametrize("relative", (False, True))
def test_lengths(poisoned: None, length: int, relative: bool) -> None:
    x = torch.randn(1, 5, length)
    actual = gram(x, relative=relative, backend="triton")
    exact = x.double() - (x.double()[:, :1] if relative else 0)
    assert_products(actual, exact, exact)
    assert torch.equal(gram(x, relative=relative, backend="triton"), actual)
    assert torch.equal(actual, actual.mT)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shared", (1, 2, 4))
def test_two_operands(poisoned: None, dtype: torch.dtype, shared: int) -> None:
    students = list(layouts(dtype, 4, 9, 150).values())
    teachers = list(layouts(dtype, shared, 17, 150).values())
    for x, y in zip(students, teachers[1:] + teachers[:1], strict=True):
        actual = torch.ops.tvtfast.gram(x, y, False, backend="triton")
        assert_products(actual, x.double(), y.double().repeat(4 // shared, 1, 1))


def test_more_columns_than_a_tile(poisoned: None) -> None:
    x, y = torch.randn(2, 3, 20), torch.randn(TILE + 1, 20)
    assert_products(gram(x, y, backend="triton"), x.double(), y.double().expand(2, -1, -1))


def test_long_rows_are_split_for_the_number_of_programs() -> None:
    from tvtfast.kernels.gram.triton_kernels import LONGEST_SPAN, PROGRAMS, pick

    def span(matrices: int, wide: bool) -> int:
        config = pick(matrices, 64, 64, 64 * 588, wide)
        return config.step * config.steps

    for wide in (False, True):
        assert PROGRAMS / 2 < -(-64 * 588 // span(1, wide)) <= PROGRAMS
        assert span(1000, wide) == LONGEST_SPAN


def test_nothing_to_multiply() -> None:
    for shape in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        products = gram(torch.empty(shape), backend="triton")
        assert torch.equal(products, torch.zeros(*shape[:2], shape[1]))
    assert gram(torch.ones(2, 3), torch.ones(0, 3), backend="triton").shape == (2, 0)


def test_a_nan_stays_in_its_row() -> None:
    x = torch.randn(2, 4, 200)
    x[1, 2, 150] = torch.nan
    actual = gram(x, backend="triton")
    assert (
        actual.isnan().sum() == 7 and actual[1, 2].isnan().all() and actual[1, :, 2].isnan().all()
    )


@pytest.mark.parametrize(
    ("samples", "students", "teachers"),
    [(1, 2, 1), (2, 4, 2), (7, 2, 2), (BLOCK - 1, 1, 1), (BLOCK, 1, 1), (BLOCK + 1, 1, 1)],
)
def test_angles(poisoned: None, samples: int, students: int, teachers: int) -> None:
    student, teacher = (
        gram(torch.randn(matrices, samples, 40), relative=True, backend="reference")
        for matrices in (students, teachers)
    )
    actual = torch.ops.tvtfast.angle_distance(student, teacher, backend="triton")
    exact = reference.forward(student.double(), teacher.double())
    bound = OPERATORS["angle_distance"].tolerance(torch.float32, samples)
    spread = max(float(spread_of(one)) for one in (student, teacher))
    assert actual.dtype == torch.float32 and actual.shape == (students,)
    assert ((actual - exact).abs() <= bound * spread).all()
    assert torch.equal(torch.ops.tvtfast.angle_distance(student, teacher, backend="triton"), actual)


def spread_of(grams: Tensor) -> Tensor:
    squared = reference.squared_distances(grams)
    closest = torch.where(squared > 0, squared, torch.inf).min()
    return grams.max() / closest.clamp_max(1e30)


def test_samples_that_coincide_have_no_angle() -> None:
    student, teacher = torch.randn(6, 50), torch.randn(6, 70)
    student[3], teacher[3] = student[1], teacher[1]
    actual = relation_rkd_angle(student, teacher, backend="triton")
    exact = relation_rkd_angle(student.double(), teacher.double())
    torch.testing.assert_close(actual.double(), exact, rtol=1e-5, atol=0)
    student[2, 5] = torch.nan
    assert relation_rkd_angle(student, teacher, backend="triton").isnan()
