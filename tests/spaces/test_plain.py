"""Numbers of NumPy and PyTorch in architectures, and JSON with anything in it."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tvtfast
from tvtfast import spaces
from tvtfast.spaces import ModelOptions

ALL = [spaces.get(name) for name in spaces.available() if not name.startswith("pit-full-")]
every_space = pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)

FOREIGN = {
    "numpy": lambda value: np.asarray(value) if isinstance(value, list) else np.array(value)[()],
    "narrow": lambda value: (
        np.asarray(value, np.float32 if _real(value) else np.int16)
        if not _text(value)
        else np.array(value)
    ),
    "numbers": lambda value: (
        [np.array(entry)[()] for entry in value] if isinstance(value, list) else np.int64(value)
    ),
    "tensors": lambda value: value if _text(value) else torch.tensor(value),
    "0-d": lambda value: (
        value
        if _text(value)
        else [torch.tensor(entry) for entry in value]
        if isinstance(value, list)
        else np.array(value)
    ),
    "floats": lambda value: (
        value
        if _text(value)
        else [float(entry) for entry in value]
        if isinstance(value, list)
        else float(value)
    ),
}


def _text(value):
    return isinstance(value, list) and isinstance(value[0], str)


def _real(value):
    return isinstance(value, list) and isinstance(value[0], float)


@every_space
@pytest.mark.parametrize("kind", FOREIGN)
def test_numbers_of_other_libraries_stand_for_plain_ones(space, kind):
    arch = space.sample(1, 3)[0]
    given = {name: FOREIGN[kind](value) for name, value in space.to_dict(arch).items()}
    decoded = space.decode(given)
    assert decoded == arch
    assert space.encode(given) == space.encode(arch)
    json.dumps(space.to_dict(decoded))  # no number of another library is left


@every_space
@pytest.mark.parametrize("kind", ["numpy", "floats"])
def test_they_may_be_in_the_fields_of_an_architecture(space, kind):
    arch = space.sample(1, 4)[0]
    values = {}
    for field in fields(arch):
        value = getattr(arch, field.name)
        listed = list(value) if isinstance(value, tuple) else value
        foreign = FOREIGN[kind](listed)
        values[field.name] = tuple(foreign) if isinstance(value, tuple) else foreign
    given = type(arch)(**values)
    assert space.decode(given) == arch
    assert space.encode(given) == space.encode(arch)
    arrays = type(arch)(
        **{k: np.array(v) if isinstance(v, tuple) else v for k, v in values.items()}
    )
    assert space.encode(arrays) == space.encode(arch)


@every_space
def test_architectures_with_plain_numbers_pass_through(space):
    arch = space.sample(1, 5)[0]
    space.decode(arch)
    assert space.decode(arch) is arch


def test_a_truth_value_is_no_number():
    pit = spaces.get("asvit")
    arch = pit.sample(1, 0)[0]
    given = pit.to_dict(arch) | {"splits": [2, 1, 1, True]}
    with pytest.raises(ValueError, match="splits is True; give an integer"):
        pit.decode(given)
    with pytest.raises(ValueError, match="splits is True; give an integer"):
        pit.decode(type(arch)(arch.kernels, (2, 1, 1, True), arch.expansions, arch.heads))


def test_scores_and_modules_of_them():
    space = spaces.get("autoformer-tiny")
    arch = space.sample(1, 0)[0]
    foreign = {name: np.asarray(value) for name, value in space.to_dict(arch).items()}
    foreign["depth"] = np.int64(arch.depth)
    options = {"num_classes": np.int64(10), "img_size": np.array([32, 32]), "patch_size": 16}
    table = tvtfast.score([foreign, arch], space=space, proxies="weight_norm", **options)
    frame = table.to_pandas()
    assert frame["arch"][0] == frame["arch"][1] == space.encode(arch)
    assert frame["weight_norm"][0] == frame["weight_norm"][1]
    module = tvtfast.build(foreign, space=space, **options)
    assert sum(p.numel() for p in module.parameters()) == frame["params"][0]


def test_choices_windows_and_options():
    pit = spaces.get("pit")
    assert pit.from_choices(np.zeros(4, int)) == pit.from_choices([0, 0, 0, 0])
    assert pit.from_choices([0.0, 0, 0, 0]) == pit.from_choices([0, 0, 0, 0])
    with pytest.raises(ValueError, match="an index is 0.5; give an integer"):
        pit.from_choices([0.5, 0, 0, 0])
    least = pit.feasible_range("params")[0]
    window = (np.float64(least), np.int64(least + 10**6))
    assert pit.enumerate({"params": window}) == pit.enumerate({"params": list(window)})
    assert pit.enumerate({"params": np.int64(least)}) == pit.enumerate({"params": least})
    options = ModelOptions.of(num_classes=np.int64(7), img_size=np.int32(64), distilled=np.True_)
    assert options == ModelOptions(7, (64, 64), distilled=True)
    assert {type(options.num_classes), *map(type, options.img_size)} == {int}
    for name, wrong in (("num_classes", "10"), ("patch_size", 1.5), ("img_size", float("inf"))):
        with pytest.raises(ValueError, match=f"{name} is .*; give a whole number"):
            ModelOptions.of(**{name: wrong})


@every_space
@pytest.mark.parametrize(
    "number", ["Infinity", "-Infinity", "NaN", "1e999", "9" * 400, "9" * 5000, "null", '"a"', "[]"]
)
def test_json_with_a_number_that_is_none(space, number):
    arch = space.to_dict(space.sample(1, 0)[0])
    for name, value in arch.items():
        text = json.dumps(arch | {name: "HERE"})
        inside = (
            json.dumps(arch | {name: ["HERE", *value[1:]]}) if isinstance(value, list) else text
        )
        for damaged in (text, inside):
            with pytest.raises(ValueError) as raised:
                space.decode(damaged.replace('"HERE"', number))
            assert len(str(raised.value)) < 500
            assert space.name in str(raised.value)


@every_space
@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 100_000, "\x00", "1e5", '"x"', "|"])
def test_text_that_is_no_architecture(space, text):
    with pytest.raises(ValueError) as raised:
        space.decode(text)
    assert len(str(raised.value)) < 500


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.integers(min_value=10**300, max_value=10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@every_space
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_values_of_any_kind(space, data):
    """An architecture with one or two other values is one, or refused in one line."""
    fields = space.to_dict(space.sample(1, 0)[0])
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        if isinstance(fields[name], list) and fields[name] and data.draw(st.booleans()):
            place = data.draw(st.integers(0, len(fields[name]) - 1))
            fields[name] = [*fields[name]]
            fields[name][place] = data.draw(values)
        else:
            fields[name] = data.draw(values)
    try:
        arch = space.decode(fields)
    except ValueError as error:
        assert len(str(error)) < 1000
    else:
        assert space.decode(space.encode(arch)) == arch
