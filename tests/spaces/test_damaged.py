"""Damaged JSON of architectures: refused in one line, whatever is in it."""

from __future__ import annotations

import pytest

from tvtfast import spaces

ALL = [spaces.get(name) for name in spaces.available()]
every_space = pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)


def _survey(fuzzing, tmp_path, space, count):
    whole = space.encode(space.sample(1, 1)[0]).encode()
    path = tmp_path / "arch.json"

    def load(path):
        try:
            space.decode(path.read_bytes().decode("utf-8", "replace"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    fuzzing.survey(load, path, fuzzing.mutations(whole, count, seed=0))


@every_space
def test_damaged_json(fuzzing, tmp_path, space):
    _survey(fuzzing, tmp_path, space, 60)


@pytest.mark.slow
@every_space
def test_much_damaged_json(fuzzing, tmp_path, space):
    _survey(fuzzing, tmp_path, space, 600)
