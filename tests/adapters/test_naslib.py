"""NASLib's predictor, on a stand-in of its base class."""

import importlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tvtfast

SPACE = tvtfast.spaces.get("autoformer-tiny")


def small(depth=2, heads=2):
    """An architecture far below those that are searched."""
    sizes = {"embed_dim": [48], "num_heads": [heads], "mlp_ratio": [2.0]}
    return SPACE.decode({"layer_num": depth, **{key: one * depth for key, one in sizes.items()}})


class Predictor:
    """The documented base class, as far as it is used."""

    def __init__(self, ss_type=None, encoding_type=None):
        self.ss_type, self.encoding_type = ss_type, encoding_type


@pytest.fixture
def zero_cost(monkeypatch):
    for name in ("naslib", "naslib.predictors", "naslib.predictors.predictor"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["naslib.predictors.predictor"].Predictor = Predictor
    adapter = importlib.import_module("tvtfast.adapters.naslib")
    yield adapter.ZeroCost
    adapter.__dict__.pop("ZeroCost", None)


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, 32, 32, generator=generator), torch.arange(4)


@pytest.fixture(scope="module")
def graphs():
    archs = [small(1), small(2), small(2, heads=4)]
    return [tvtfast.build(arch, space=SPACE, num_classes=10, img_size=32) for arch in archs]


def test_a_list_is_scored_in_one_call(zero_cost, graphs, batch, teacher):
    predictor = zero_cost("teacher_aware", teacher=teacher)
    assert isinstance(predictor, Predictor) and predictor.ss_type is None
    found = predictor.query(graphs, [batch])
    measure = tvtfast.Measure("teacher_aware", teacher=teacher)
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx([measure(one, batch[0]) for one in graphs], rel=1e-6)
    single = predictor.query(graphs[1], info=None)
    assert type(single) is float and single == found[1]


def test_names_of_the_host_and_its_loader(zero_cost, graphs, batch):
    predictor = zero_cost("jacov")
    predictor.train_loader = [batch]
    assert predictor.query(graphs[0]) == tvtfast.Measure("jacob_cov")(graphs[0], batch[0])


def test_architectures_are_one_population(zero_cost, batch, teacher):
    archs = [small(1), small(2), small(2, heads=4)]
    predictor = zero_cost("tvt", teacher=teacher, images=batch[0], space=SPACE)
    found = predictor.query(archs)
    table = tvtfast.score(archs, proxies=("tvt",), teacher=teacher, images=batch[0], space=SPACE)
    assert found.tolist() == table["tvt"].tolist()
    assert pickle.loads(pickle.dumps(predictor.scorer))(archs)["tvt"].tolist() == found.tolist()


def test_a_graph_without_a_score_is_what_the_host_expects(zero_cost, graphs, batch, teacher):
    predictor = zero_cost("teacher_aware", teacher=teacher)
    with pytest.warns(UserWarning, match="teacher_aware is -100000000.0 where .*Linear has no"):
        found = predictor.query([graphs[0], nn.Linear(2, 2)], [batch])
    assert found[0] < 0 and found[1] == -1e8
    with pytest.warns(UserWarning, match="one candidate is compared with no other"):
        assert zero_cost("tvt", teacher=teacher).query(graphs[0], [batch]) == -1e8


def test_gradients_of_another_loss_are_refused(zero_cost, graphs, batch, monkeypatch):
    monkeypatch.setattr(type(graphs[0]), "get_loss_fn", lambda self: F.mse_loss, raising=False)
    with pytest.raises(ValueError, match="loss_fn is mse_loss"):
        zero_cost("snip").query(graphs[0], [batch])
    assert zero_cost("weight_norm").query(graphs[0]) > 0


def test_no_images_and_no_host_are_said(zero_cost, graphs, monkeypatch):
    with pytest.raises(ValueError, match="images"):
        zero_cost("naswot").query(graphs[0])
    monkeypatch.setattr("tvtfast.common.optional.find_spec", lambda name: None)
    adapter = importlib.reload(importlib.import_module("tvtfast.adapters.naslib"))
    monkeypatch.delattr(adapter, "ZeroCost", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"needs naslib 0\.1 or newer"):
        _ = adapter.ZeroCost
    with pytest.raises(AttributeError, match="no attribute 'ZeroCosts'"):
        _ = adapter.ZeroCosts
