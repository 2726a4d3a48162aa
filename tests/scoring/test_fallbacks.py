"""Faults on every fast path: want of memory is told and costs time alone, a bug is raised."""

from __future__ import annotations

import json
import logging
import sys
import warnings

import pandas as pd
import psutil
import pytest
import torch

import tvtfast
from tvtfast import cli
from tvtfast.common.fallbacks import STRICT_VARIABLE
from tvtfast.common.memory import available_memory, is_out_of_memory
from tvtfast.data import frozen_batch
from tvtfast.models import UnsupportedModelError
from tvtfast.population import memory as memory_module
from tvtfast.population import population as population_module
from tvtfast.proxies import Proxy, UndefinedScoreError
from tvtfast.spaces import AutoFormerSpace

SPACE = AutoFormerSpace("fallbacks", (24, 32), (11,), (2.0, 3.0), (2, 4))
OPTIONS = {"space": SPACE, "num_classes": 10, "patch_size": 8}
NO_MEMORY = torch.OutOfMemoryError("no memory")
DRAWN = frozenset({"weights"})


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.delenv(STRICT_VARIABLE)


@pytest.fixture(scope="module")
def archs():
    return SPACE.sample(4, 0)


@pytest.fixture(scope="module")
def batch():
    return frozen_batch("digits", 16, img_size=32)


@pytest.fixture
def run(archs, batch, teacher):
    def run(**changes):
        return tvtfast.score(archs, **{**OPTIONS, "images": batch, "teacher": teacher, **changes})

    return run


def failing(monkeypatch, error):
    """The forward pass of populations raises ``error``."""

    def forward(*arguments):
        raise error
        yield

    monkeypatch.setattr(population_module, "forward", forward)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("error", [NO_MEMORY, UnsupportedModelError("of a kind unknown")])
def test_a_population_is_scored_one_by_one_and_says_so(run, monkeypatch, caplog, error):
    expected = run()
    assert expected.fallbacks == ()
    failing(monkeypatch, error)
    with pytest.warns(tvtfast.FallbackWarning) as told, caplog.at_level(logging.DEBUG, "tvtfast"):
        alone = run()
    pd.testing.assert_frame_equal(alone.to_pandas(), expected.to_pandas(), rtol=1e-6)
    (fallback,) = alone.fallbacks
    assert fallback.what == "scoring 4 candidates together"
    assert str(error) in fallback.why and type(error).__name__ in fallback.why
    assert "times as long" in fallback.cost
    assert [str(warning.message) for warning in told] == [str(fallback)]
    logged = [record for record in caplog.records if record.name == "tvtfast"]
    assert [r.getMessage() for r in logged if r.levelno == logging.WARNING] == [str(fallback)]
    assert any(record.exc_info for record in logged), "the traceback is there to be looked at"
    assert str(fallback) in repr(alone)


def test_a_fallback_is_an_error_where_that_was_asked_for(run, monkeypatch):
    failing(monkeypatch, NO_MEMORY)
    with pytest.raises(tvtfast.FallbackError, match=r"no memory.*TVTFAST_STRICT=1"):
        run()


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("protocol", ["score", "race", "search"])
def test_a_bug_in_the_engine_is_raised(run, archs, batch, teacher, monkeypatch, protocol):
    failing(monkeypatch, TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        if protocol == "score":
            run()
        elif protocol == "race":
            tvtfast.Scorer(images=batch, teacher=teacher, **OPTIONS).race(archs, top_k=1)
        else:
            tvtfast.search(
                SPACE,
                trials=4,
                racing=False,
                images=batch,
                teacher=teacher,
                num_classes=10,
                patch_size=8,
            )


@pytest.mark.usefixtures("lenient")
def test_a_race_is_given_up_for_want_of_memory_alone(batch, teacher, monkeypatch, tmp_path):
    arguments = {"trials": 8, "racing": True, "top_k": 1, "images": batch, "teacher": teacher}
    arguments |= {"num_classes": 10, "patch_size": 8, "strategy": "random"}
    full = tvtfast.search(SPACE, **arguments | {"racing": False})
    original = population_module.Population.features

    def few_images(self, images, rows=None):
        if 2 < len(images) < len(batch):
            raise NO_MEMORY
        return original(self, images, rows)

    monkeypatch.setattr(population_module.Population, "features", few_images)
    with pytest.warns(tvtfast.FallbackWarning, match="a race of 8 candidates fell back"):
        result = tvtfast.search(SPACE, run_dir=tmp_path, **arguments)
    assert result.table.race is None and result.evaluated == 8
    pd.testing.assert_frame_equal(result.table.to_pandas(), full.table.to_pandas(), rtol=1e-6)
    (fallback,) = result.fallbacks
    assert fallback.cost == "every candidate is shown all 16 images"
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["fallbacks"] == [fallback.to_dict()]


@pytest.mark.usefixtures("lenient")
def test_weight_draws_together(run):
    def draws(error):
        def compute_draws(inputs):
            raise error

        return Proxy("own", lambda inputs: 1.0, needs=DRAWN, compute_draws=compute_draws)

    with pytest.warns(tvtfast.FallbackWarning, match="own of 3 weight draws in one computation"):
        table = run(proxies=[draws(MemoryError("none left"))], init_seeds=3)
    assert table.to_pandas()["own"].tolist() == [1.0] * 4 and len(table.fallbacks) == 1
    table = run(proxies=[draws(TypeError("a bug"))], init_seeds=3)
    assert table.status["own"].tolist() == ["error"] * 4
    assert table.reasons["own"][0] == "TypeError: a bug" and not table.fallbacks
    with pytest.raises(tvtfast.ScoringError, match="own: TypeError: a bug"):
        run(proxies=[draws(TypeError("a bug"))], init_seeds=3, on_error="raise")
    table = run(proxies=[draws(UndefinedScoreError("one has none"))], init_seeds=3)
    assert table.status["own"].tolist() == ["ok"] * 4 and not table.fallbacks


@pytest.mark.usefixtures("lenient")
def test_many_architectures_together(run):
    def many(error):
        def compute_many(archs):
            yield {0: 5.0}
            raise error

        return Proxy("own", lambda inputs: 1.0, compute_many=compute_many)

    with pytest.warns(tvtfast.FallbackWarning, match="own of 4 candidates together"):
        table = run(proxies=[many(NO_MEMORY)])
    assert table.to_pandas()["own"].tolist() == [5.0, 1.0, 1.0, 1.0]
    with pytest.raises(TypeError, match="a bug"):
        run(proxies=[many(TypeError("a bug"))])


def test_a_proxy_that_fails_for_some_tells_which(run):
    """On the features that are there: nothing is computed again, and nothing falls back."""

    def compute(inputs):
        raise AssertionError("asked one by one")

    def means(inputs):
        return inputs.features.x.square().mean((-1, -2))

    needs = DRAWN | {"images"}
    plain = run(proxies=[Proxy("means", compute, needs=needs, per_image=means)]).to_pandas()
    limit = plain["means"].median()

    def picky(inputs):
        if means(inputs).mean() > limit:
            raise UndefinedScoreError("too large")
        return means(inputs)

    table = run(proxies=[Proxy("picky", compute, needs=needs, per_image=picky)])
    large = plain["means"] > limit
    assert table.status["picky"].tolist() == ["nan" if one else "ok" for one in large]
    assert set(table.reasons["picky"][large]) == {"UndefinedScoreError: too large"}
    assert table.to_pandas()["picky"][~large].tolist() == plain["means"][~large].tolist()
    bug = Proxy("bug", compute, needs=needs, per_image=lambda inputs: inputs.features.y)
    assert "has no attribute 'y'" in run(proxies=[bug]).reasons["bug"][0]
    with pytest.raises(tvtfast.ScoringError, match="bug: AttributeError"):
        run(proxies=[bug], on_error="raise")
    steps = Proxy("steps", compute, needs=DRAWN, per_step=lambda step: step.nothing)
    assert run(proxies=[steps]).status["steps"].tolist() == ["error"] * 4


def test_memory_is_what_is_available(monkeypatch):
    """Caches count, and no system call of one kind of system is needed."""
    monkeypatch.setattr("os.sysconf", None)
    found = available_memory(torch.device("cpu"))
    assert found == pytest.approx(psutil.virtual_memory().available, rel=0.1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 1000})())
    assert available_memory(torch.device("cpu")) == 1000
    population = population_module.Population(SPACE.sample(1, 0), **OPTIONS, img_size=32)
    with pytest.raises(MemoryError, match="0 MiB may be used"):
        next(population.features(torch.zeros(1, 3, 32, 32)))


def test_what_is_want_of_memory():
    texts = "DefaultCPUAllocator: can't allocate memory"
    assert all(map(is_out_of_memory, (NO_MEMORY, MemoryError(), RuntimeError(texts))))
    assert not any(map(is_out_of_memory, (RuntimeError("no"), TypeError(texts))))


def test_a_step_that_no_layer_serves(monkeypatch):
    population = population_module.Population(SPACE.sample(1, 0), **OPTIONS, img_size=32)
    monkeypatch.setattr("tvtfast.population.layers._layers", {})
    with pytest.raises(UnsupportedModelError, match=r"type Embedding; call .*register_layer"):
        next(population.features(torch.zeros(1, 3, 32, 32)))


def test_the_log_is_silent_until_a_program_wants_it():
    logger = logging.getLogger("tvtfast")
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)


@pytest.mark.usefixtures("lenient")
def test_the_command_line_shows_it_once(monkeypatch, tmp_path, capsys):
    limit = memory_module.available_memory
    monkeypatch.setattr(memory_module, "available_memory", lambda device: 1000)
    command = ["search", "--proxies", "teacher_aware", "--trials", "2", "--batch-size", "2"]
    command += ["--min-param-limits", "0", "--output-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    with warnings.catch_warnings(record=True) as told:
        assert cli.main(command) == 0
    shown = capsys.readouterr().out
    assert shown.count("tvtfast: WARNING: scoring 2 candidates together fell back") == 1
    assert not [w for w in told if w.category is tvtfast.FallbackWarning]
    assert limit(torch.device("cpu")) > 1000
