"""archai's evaluator, on a stand-in of its base class."""

import importlib
import pickle
import sys
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import tvtfast

SPACE = tvtfast.spaces.get("autoformer-tiny")
HOST = "archai.discrete_search.api"


def small(depth=2, heads=2):
    """An architecture far below those that are searched."""
    sizes = {"embed_dim": [48], "num_heads": [heads], "mlp_ratio": [2.0]}
    return SPACE.decode({"layer_num": depth, **{key: one * depth for key, one in sizes.items()}})


@dataclass
class ArchaiModel:
    arch: Any
    archid: str


class AsyncModelEvaluator(ABC):
    """The documented base class."""

    @abstractmethod
    def send(self, arch, budget=None): ...

    @abstractmethod
    def fetch_all(self): ...


@pytest.fixture
def evaluator(monkeypatch):
    parts = HOST.split(".")
    names = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
    for name in (*names, f"{HOST}.archai_model", f"{HOST}.model_evaluator"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules[f"{HOST}.archai_model"].ArchaiModel = ArchaiModel
    sys.modules[f"{HOST}.model_evaluator"].AsyncModelEvaluator = AsyncModelEvaluator
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0.0")
    adapter = importlib.import_module("tvtfast.adapters.archai")
    yield adapter.ProxyEvaluator
    del adapter.ProxyEvaluator


@pytest.fixture(scope="module")
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_queue_is_scored_in_one_call(evaluator, images, teacher):
    settings = {"teacher": teacher, "images": images, "space": SPACE}
    asked, archs = evaluator("tvt", **settings), [small(1), small(2), small(2, heads=4)]
    assert isinstance(asked, AsyncModelEvaluator)
    for arch in archs:
        asked.send(ArchaiModel(arch, str(arch)))
    found = asked.fetch_all()
    assert found == tvtfast.score(archs, proxies=("tvt",), **settings)["tvt"].tolist()
    assert asked.fetch_all() == []
    again = pickle.loads(pickle.dumps(asked))
    for arch in archs:
        again.send(ArchaiModel(arch, str(arch)), budget=2.0)
    assert again.fetch_all() == found


def test_a_candidate_without_a_score_is_none(evaluator, images, teacher):
    asked = evaluator(teacher=teacher, images=images)
    student = tvtfast.build(small(), space=SPACE, num_classes=10, img_size=32)
    for module in (nn.Linear(2, 2), student):
        asked.send(ArchaiModel(module, "m"))
    with pytest.warns(UserWarning, match="teacher_aware is None where .*Linear has no"):
        found = asked.fetch_all()
    assert found[0] is None and found[1] == tvtfast.Measure(teacher=teacher)(student, images)


def test_an_old_host_is_named(evaluator, monkeypatch):
    adapter = importlib.import_module("tvtfast.adapters.archai")
    kept = adapter.__dict__.pop("ProxyEvaluator")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.7")
    with pytest.raises(ImportError, match=r"needs archai 1\.0 or newer, and 0\.7 is installed"):
        _ = adapter.ProxyEvaluator
    adapter.ProxyEvaluator = kept
