"""Which backend serves, and what is said where it cannot."""

from __future__ import annotations

import functools

import pytest
import torch

from tvtfast import kernels
from tvtfast.kernels import dispatch
from tvtfast.kernels.backend import native as _extension
from tvtfast.kernels.backend import native as native_module
from tvtfast.kernels.backend.native import INSTRUCTION_SETS, extension, instruction_sets
from tvtfast.kernels.dispatch import OPERATORS


def served_by(monkeypatch: pytest.MonkeyPatch, operator: str) -> list[str]:
    """Record the backends that run ``operator``."""
    calls: list[str] = []

    def recorded(implementation: dispatch.Implementation) -> dispatch.Implementation:
        def run(call: object) -> object:
            calls.append(implementation.backend)
            return implementation.run(call)

        return dispatch.Implementation(implementation.backend, implementation.reasons, run)

    entry = tuple(recorded(i) for i in dispatch.IMPLEMENTATIONS[operator])
    monkeypatch.setitem(dispatch.IMPLEMENTATIONS, operator, entry)
    return calls


def has(operator: str, backend: str) -> bool:
    return any(entry.backend == backend for entry in dispatch.IMPLEMENTATIONS[operator])


def test_every_operator_has_every_backend() -> None:
    assert set(dispatch.IMPLEMENTATIONS) == set(OPERATORS)
    for entry in dispatch.IMPLEMENTATIONS.values():
        assert entry[-1].backend == "reference"
    assert kernels.backends() == ("cuda", "triton", "native", "reference")


@pytest.mark.parametrize("operator", OPERATORS)
def test_examples_run(backend: str, operator: str) -> None:
    if not has(operator, backend):
        pytest.skip(f"{operator} has no backend {backend!r}")
    arguments = OPERATORS[operator].example()
    getattr(torch.ops.tvtfast, operator)(*arguments, backend=backend)
    assert OPERATORS[operator].traffic(arguments) > 0
    assert OPERATORS[operator].flops(arguments) > 0


def test_order_of_precedence(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = served_by(monkeypatch, "attention_map")
    x = torch.ones(1, 2, 2, 2)
    kernels.attention_map(x)
    monkeypatch.setenv("TVTFAST_BACKEND", "reference")
    kernels.attention_map(x)
    with kernels.use_backend("native"):
        kernels.attention_map(x)
        kernels.attention_map(x, backend="reference")
        with kernels.use_backend("reference"):
            kernels.attention_map(x)
        kernels.attention_map(x)
    kernels.attention_map(x)
    assert calls == [
        "native", "reference", "native", "reference", "reference", "native", "reference"
    ]  # fmt: skip


def test_auto_falls_back_and_a_name_raises(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = served_by(monkeypatch, "attention_map")
    x = torch.ones(1, 2, 2, 2, dtype=torch.float64)
    kernels.attention_map(x)
    assert calls == ["reference"]
    with pytest.raises(
        kernels.BackendError, match="tvtfast::attention_map.*'native'.*float64.*allowed: float32"
    ):
        kernels.attention_map(x, backend="native")
    with pytest.raises(kernels.BackendError), kernels.use_backend("native"):
        kernels.segment_norms([torch.ones(2), torch.ones(2, dtype=torch.float64)])


def test_missing_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extension, "_load", lambda: "No module named 'tvtfast._C'")
    x = torch.ones(1, 2, 2, 2)
    assert kernels.attention_map(x).shape == (1, 4)
    with pytest.raises(kernels.BackendError, match="not installed"):
        kernels.attention_map(x, backend="native")
    assert kernels.native_build_info() is None
    for explanation in kernels.explain():
        assert explanation.backend == "reference"
        if has(explanation.operator, "native"):
            assert "not installed" in explanation.declined["native"][0]


def test_all_reasons_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extension, "_load", lambda: "missing")
    x = torch.ones(1, 2, 2, 2, dtype=torch.float64)
    with pytest.raises(kernels.BackendError, match="not installed.*; x is float64"):
        kernels.attention_map(x, backend="native")


def test_unknown_names(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(1, 2, 2, 2)
    known = "auto, cuda, triton, native, reference"
    with pytest.raises(ValueError, match=f"'metal' is unknown; known are {known}"):
        kernels.attention_map(x, backend="metal")
    with (
        pytest.raises(ValueError, match="use_backend.*known are"),
        kernels.use_backend("tpu"),
    ):
        pass
    monkeypatch.setenv("TVTFAST_BACKEND", "fast")
    with pytest.raises(ValueError, match="TVTFAST_BACKEND.*'fast'"):
        kernels.attention_map(x)


def test_serving(native: str) -> None:
    x = torch.ones(3, 4)
    assert kernels.serving("layer_norm", x, 1e-5) == "native"
    assert kernels.serving("layer_norm", x.double(), 1e-5) == "reference"
    assert kernels.serving("mlp_block", x, x, None, x, None, [3]) == "native"
    with kernels.use_backend("triton"), pytest.raises(kernels.BackendError, match="x is on cpu"):
        kernels.serving("mlp_block", x, x, None, x, None, [3])


def test_explain(native: str) -> None:
    assert [e.operator for e in kernels.explain()] == sorted(OPERATORS)
    (one,) = kernels.explain("slice_norms")
    assert one.backend == "native" and one.device == "cpu" and set(one.declined) == {"triton"}
    with pytest.raises(ValueError, match="'softmax' is unknown; known are angle_distance"):
        kernels.explain("softmax")


def test_instruction_sets_are_left_out_by_name(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = instruction_sets()
    for place, name in enumerate(every):
        monkeypatch.setenv("TVTFAST_INSTRUCTION_SET", name)
        assert instruction_sets() == every[place:]
        info = kernels.native_build_info()
        assert info is not None and info["vectors"] == name
    monkeypatch.setenv("TVTFAST_INSTRUCTION_SET", "sse")
    with pytest.raises(ValueError, match="'sse' is unknown; known are amx_bf16, avx512_bf16"):
        instruction_sets()


def test_an_instruction_set_that_the_cpu_lacks_is_an_error(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def vector_set(fastest: int) -> int:
        asked.append(fastest)
        return max(fastest, INSTRUCTION_SETS.index("avx512"))

    monkeypatch.setattr(extension(), "vector_set", vector_set)
    fresh = functools.cache(native_module._instruction_sets.__wrapped__)
    monkeypatch.setattr(native_module, "_instruction_sets", fresh)
    monkeypatch.setenv("TVTFAST_INSTRUCTION_SET", "amx_bf16")
    with pytest.raises(ValueError, match="has no amx_bf16 .allowed: avx512, avx2"):
        kernels.layer_norm(torch.ones(2, 3))
    monkeypatch.setenv("TVTFAST_INSTRUCTION_SET", "avx2")
    assert instruction_sets() == ("avx2",)
    assert asked[-1] == INSTRUCTION_SETS.index("avx2")  # nothing asks for tiles


def test_bf16_goes_to_pytorch_where_it_alone_uses_tiles(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    x = torch.ones(2, 4, 12)
    for sets, served in ((INSTRUCTION_SETS, "native"), (INSTRUCTION_SETS[1:], "reference")):
        monkeypatch.setattr(
            "tvtfast.kernels.backend.native.instruction_sets", lambda sets=sets: sets
        )
        assert kernels.serving("packed_attention", x.bfloat16(), 2, 0.5) == served
        assert kernels.serving("packed_attention", x, 2, 0.5) == "native"
        assert kernels.serving("layer_norm", x[0].bfloat16(), 1e-5) == "native"


def test_native_build_info(native: str) -> None:
    info = kernels.native_build_info()
    assert info is not None
    assert set(info) == {"instruction_set", "vectors", "openmp", "threads", "compiler"}
