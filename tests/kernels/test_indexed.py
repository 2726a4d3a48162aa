"""Index-keyed random numbers: known answers, distribution, overlap, bits."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from tvtfast.kernels import indexed_normal_, indexed_uniform_
from tvtfast.kernels.indexed import index_key
from tvtfast.kernels.indexed.reference import box_muller, philox

MASK = 2**32 - 1
SHAPES = (
    (),
    (1,),
    (7,),
    (197,),
    (5, 6),
    (33, 129),
    (2, 3, 4),
    (4, 3, 5, 7),
    (64, 3, 16, 16),
    (0, 5),
)


def philox_formula(counter: list[int], key: list[int]) -> list[int]:
    """Philox 4x32-10 in Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def words_at(seed: int, name: str, index: tuple[int, ...]) -> tuple[int, int, int]:
    """The two words of the pair that makes the number at ``index``, and its lane."""
    message = seed.to_bytes(8, "little") + name.encode()
    digest = hashlib.blake2b(message, digest_size=8, person=b"tvtfast index").digest()
    key = [int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")]
    i0, i1, i2, j = (0,) * (4 - len(index)) + index
    words = philox_formula([j // 4, i2, i1, i0], key)
    lane = j % 4
    return words[lane & 2], words[(lane & 2) + 1], lane


def normal_at(seed: int, name: str, index: tuple[int, ...]) -> float:
    first, second, lane = words_at(seed, name, index)
    radius = math.sqrt(-2 * math.log((first >> 8) * 2**-24 + 2**-25))
    angle = 2 * math.pi * (second >> 8) * 2**-24
    return radius * (math.sin(angle) if lane % 2 else math.cos(angle))


def uniform_at(seed: int, name: str, index: tuple[int, ...]) -> float:
    first, second, lane = words_at(seed, name, index)
    return ((second if lane % 2 else first) >> 8) * 2**-24


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_known_answers(counter: str, key: str, expected: str) -> None:
    """Vectors of the Random123 distribution."""
    words = [int(word, 16) for word in counter.split()]
    k0, k1 = (int(word, 16) for word in key.split())
    answer = [int(word, 16) for word in expected.split()]
    actual = philox([torch.tensor([word]) for word in words], k0 | k1 << 32)
    assert [int(word) for word in actual] == answer
    assert philox_formula(words, [k0, k1]) == answer


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_values_at_indices(backend: str, shape: tuple[int, ...]) -> None:
    normal = indexed_normal_(torch.empty(shape), seed=5, name="w", backend=backend)
    uniform = indexed_uniform_(torch.empty(shape), seed=5, name="w", backend=backend)
    generator = np.random.default_rng(0)
    for _ in range(50):
        index = tuple(int(generator.integers(n)) for n in shape)
        assert normal[index].item() == pytest.approx(normal_at(5, "w", index), abs=1e-6)
        assert uniform[index].item() == uniform_at(5, "w", index)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16, torch.float64))
@pytest.mark.parametrize("shape", SHAPES)
def test_native_has_the_bits_of_the_reference(
    native: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    for fill, limits in (
        (indexed_normal_, {"mean": 0.3, "std": 0.7}),
        (indexed_uniform_, {"low": -0.1, "high": 0.6}),
    ):
        first, second = (
            fill(torch.full(shape, torch.nan).to(dtype), seed=9, name="b", backend=b, **limits)
            for b in ("reference", native)
        )
        assert torch.equal(first, second)
        assert not first.isnan().any()


def test_native_has_the_bits_of_the_reference_on_a_million(native: str) -> None:
    first, second = (
        indexed_normal_(torch.empty(1024, 1024), seed=2**64 - 1, name="", backend=b)
        for b in ("reference", native)
    )
    assert torch.equal(first, second)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=4, max_size=4),
    st.integers(0, 2**64 - 1),
)
def test_same_index_same_value(small: list[int], extra: list[int], seed: int) -> None:
    large = [n + m for n, m in zip(small, extra, strict=False)]
    part = indexed_normal_(torch.empty(small), seed=seed, name="a.weight")
    whole = indexed_normal_(torch.empty(large), seed=seed, name="a.weight")
    assert torch.equal(whole[tuple(slice(n) for n in small)], part)
    row = indexed_normal_(torch.empty(large[-1]), seed=seed, name="a.weight")
    assert torch.equal(whole[(0,) * (len(large) - 1)], row)


def test_strides_do_not_matter(backend: str) -> None:
    expected = indexed_normal_(torch.empty(3, 4, 5), seed=1, name="qkv", backend=backend)
    qkv = torch.zeros(12, 5)
    indexed_normal_(qkv.view(3, 4, 5), seed=1, name="qkv", backend=backend)
    assert torch.equal(qkv.view(3, 4, 5), expected)
    padded = torch.zeros(3, 6, 9)
    indexed_normal_(padded[:, 1:5, 2:7], seed=1, name="qkv", backend=backend)
    assert torch.equal(padded[:, 1:5, 2:7], expected)
    assert padded.count_nonzero() == 60
    transposed = torch.empty(5, 4, 3).permute(2, 1, 0)
    assert torch.equal(indexed_normal_(transposed, seed=1, name="qkv", backend=backend), expected)


def test_parameters_and_return_value(backend: str) -> None:
    parameter = torch.nn.Parameter(torch.empty(4, 4))
    version = parameter._version
    assert indexed_normal_(parameter, seed=0, name="p", backend=backend) is parameter
    assert parameter.is_leaf and parameter.requires_grad and parameter._version > version
    with torch.inference_mode():
        indexed_normal_(torch.empty(4, 4), seed=0, name="p", backend=backend)


def test_mean_and_std(backend: str) -> None:
    plain = indexed_normal_(torch.empty(99), seed=0, name="p", backend=backend)
    moved = indexed_normal_(torch.empty(99), seed=0, name="p", mean=2, std=0.02, backend=backend)
    assert torch.equal(moved, plain * 0.02 + 2)
    constant = indexed_normal_(torch.empty(9), seed=0, name="p", mean=2, std=0, backend=backend)
    assert torch.equal(constant, torch.full((9,), 2.0))


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(indexed_normal_(torch.empty(301, 1001), seed=0, name="t", backend=native))
    assert all(torch.equal(result, results[0]) for result in results)


def test_distribution() -> None:
    normal = indexed_normal_(torch.empty(500, 400), seed=0, name="d").double()
    uniform = indexed_uniform_(torch.empty(500, 400), seed=0, name="d").double()
    assert stats.kstest(normal.flatten(), "norm").pvalue > 0.01
    assert stats.kstest(uniform.flatten(), "uniform").pvalue > 0.01
    for axis in (0, 1):
        along = normal.transpose(0, axis)
        correlation = (along[1:] * along[:-1]).mean().item()
        assert abs(correlation) < 4 / math.sqrt(normal.numel())
    assert abs((normal[:, ::2] ** 2 * normal[:, 1::2] ** 2).mean().item() - 1) < 0.05


def test_seeds_and_names_are_independent() -> None:
    keys = {index_key(seed, name) for seed in range(20) for name in ("a", "b", "ab", "", "é")}
    assert len(keys) == 100
    first = indexed_normal_(torch.empty(10_000), seed=0, name="a")
    second = indexed_normal_(torch.empty(10_000), seed=0, name="b")
    assert abs((first * second).mean().item()) < 0.04


def test_accuracy_and_tail() -> None:
    """Radius words from one end to the other, and as many angles, against fp64."""
    k = torch.arange(0, 2**24, 257)
    extreme = torch.cat([k, torch.tensor([0, 1, 2**24 - 2, 2**24 - 1])])
    second = torch.roll(extreme, 1234)
    even, odd = box_muller(extreme << 8, second << 8)
    # The radius argument itself is rounded to fp32 by definition.
    u = (extreme.float() * 2**-24 + 2**-25).double()
    radius = (-2 * u.log()).sqrt()
    angle = second.double() * (2 * math.pi / 2**24)
    for actual, exact in ((even, radius * angle.cos()), (odd, radius * angle.sin())):
        assert (actual - exact).abs().max() < 8e-7
    assert torch.hypot(even, odd).max() < 5.89


def test_native_writes_its_outputs_and_nothing_else(native: str) -> None:
    from tvtfast import _C

    for kernel in (_C.indexed_normal, _C.indexed_uniform):
        for shape in ((1, 1, 3, 7), (2, 1, 5, 513)):
            guard, count = 16, math.prod(shape)
            buffer = torch.full((2 * guard + count,), torch.nan)
            buffer[:guard] = buffer[-guard:] = 123.0
            kernel(buffer.data_ptr() + guard * buffer.itemsize, shape, 7, 1.0, 0.0, 2)
            assert (buffer[:guard] == 123).all() and (buffer[-guard:] == 123).all()
            assert not buffer[guard:-guard].isnan().any()


def fill(**arguments: object) -> Tensor:
    return indexed_normal_(**{"tensor": torch.empty(3), "seed": 0, "name": "x", **arguments})


def test_wrong_arguments() -> None:
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=r"2\^64"):
            fill(seed=seed)
    with pytest.raises(TypeError):
        fill(seed=1.5)
    with pytest.raises(ValueError, match="5 dimensions.*at most 4"):
        fill(tensor=torch.empty(1, 1, 1, 1, 1))
    with pytest.raises(TypeError, match="int64"):
        fill(tensor=torch.empty(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="std=-1"):
        fill(std=-1.0)
    with pytest.raises(ValueError, match="low=2"):
        indexed_uniform_(torch.empty(3), seed=0, name="x", low=2, high=1)
