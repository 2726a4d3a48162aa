"""Options of a proxy reach it from the call, from its name and from the command line."""

from __future__ import annotations

import json
import pickle

import pytest
import timm
import torch

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.cli.main import main
from tvtfast.data import frozen_batch
from tvtfast.proxies import CombinedProxy, Proxy, ntk_condition, ntk_trace
from tvtfast.proxies.option_text import parsed_options

TINY = spaces.get("autoformer-tiny")
OPTIONS = {"img_size": 32, "patch_size": 16, "num_classes": 10}


@pytest.fixture(scope="module")
def batch():
    return frozen_batch("digits", 3)


@pytest.fixture(scope="module")
def model():
    """A candidate of tvtfast, whose kernel is taken layer by layer unless one says otherwise, with
    a layer that this way does not know."""

    class Own(torch.nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.weight, self.bias = linear.weight, linear.bias

        def forward(self, x):
            return torch.nn.functional.linear(x, self.weight, self.bias)

    arch = {"hidden_dim": 192, "depth": 1, "mlp_ratio": [3.5], "num_heads": [3]}
    built = tvtfast.build(arch, space=TINY, seed=0, **OPTIONS)
    built.blocks[0].mlp.fc1 = Own(built.blocks[0].mlp.fc1)
    return built


def test_the_remedy_that_an_error_names_can_be_reached(batch, model):
    refused = tvtfast.score([model], proxies=["ntk_condition"], images=batch)
    assert "ntk_condition:method=samples" in refused.reasons["ntk_condition"][0]
    remedies = (ntk_condition(method="samples"), "ntk_trace:method=samples")
    table = tvtfast.score([model], proxies=remedies, images=batch)
    expected = {
        "ntk_condition:method=samples": ntk_condition(model, batch.images, method="samples").item(),
        "ntk_trace:method=samples": ntk_trace(model, batch.images, method="samples").item(),
    }
    found = {name: table[name][0] for name in expected}
    assert found == pytest.approx(expected, rel=1e-6) and table.scored == tuple(expected)
    assert tvtfast.Measure(remedies)(model, batch) == found


def test_every_door_takes_them(batch, tmp_path):
    name = "length_distortion:points=3"
    given = {"space": TINY, "images": batch, "patch_size": 16}
    archs = TINY.sample(2, 0)
    store = tmp_path / "scores.sqlite"
    asked = ["length_distortion", proxies.length_distortion(points=3)]
    table = tvtfast.Scorer(proxies=asked, store=store, **given)(archs)
    assert table[name].tolist() != table["length_distortion"].tolist()
    direct = tvtfast.build(archs[0], space=TINY, seed=0, **OPTIONS)
    expected = proxies.length_distortion(direct, img_size=32, points=3).item()
    assert table[name][0] == pytest.approx(expected, rel=1e-5)
    again = tvtfast.Scorer(proxies=[name], store=store, **given)
    assert again(archs)[name].tolist() == table[name].tolist() and again.evaluated == 0


def test_a_search_takes_them():
    proxy = proxies.gauss_length(points=2)
    result = tvtfast.search(TINY, trials=2, proxies=[proxy], **OPTIONS)
    assert result.table.scored == ("gauss_length:points=2",)


def test_the_command_line_spells_them_as_a_name_does(capsys):
    flags = ["--data-set", "digits", "--batch-size", "3", "--quiet", "--json", "--proxies"]
    name = "length_distortion:points=2"
    arch = TINY.encode(TINY.sample(1, 0)[0])
    assert main(["score", "--arch", arch, *flags, name]) == 0
    found = json.loads(capsys.readouterr().out)["candidates"][0]["proxies"][name]
    assert found["status"] == "ok" and found["value"] > 0
    assert main(["score", "--arch", arch, *flags, "ntk_condition:method=fast"]) == 2
    assert "allowed: layers, samples, published" in capsys.readouterr().err


def test_without_options_it_is_the_proxy_of_that_name():
    assert isinstance(ntk_condition(), Proxy) and ntk_condition().name == "ntk_condition"
    assert proxies.get("ntk_condition").with_options is not None
    made = pickle.loads(pickle.dumps(ntk_condition(method="published")))
    assert made.name == "ntk_condition:method=published" and not made.higher_is_better
    assert made.with_options(method="samples").name == "ntk_condition:method=samples"
    both = proxies.length_distortion(points=4, method="published")
    assert both.name == "length_distortion:method=published,points=4"
    assert proxies.get("length_distortion:points=4,method=published").name == both.name


def test_a_combination_may_name_them(batch):
    combined = CombinedProxy("both", ("weight_norm", "curvature:points=2"))
    single, found = proxies.resolve([combined])
    assert [proxy.name for proxy in single] == ["weight_norm", "curvature:points=2"]
    assert found == (combined,)


def test_foreign_networks_have_them_too(batch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = timm.models.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=2, num_classes=10
        )
    names = ("ntk_condition", "ntk_condition:method=published")
    found = tvtfast.Measure(names)(net, batch)
    assert found[names[0]] == pytest.approx(found[names[1]], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ntk_condition:method=fast", "method is 'fast'; allowed: layers, samples, published"),
        ("ntk_condition:metod=samples", "unknown option of proxy .*'metod'; known: method; did"),
        ("length_distortion:points=1", "points is 1; give a whole number of at least 2"),
        ("length_distortion:points=many", "points is 'many'; give a whole number"),
        ("ntk_condition:samples", "'samples' behind 'ntk_condition:' are no options"),
        ("ntk_condition:", "'' behind 'ntk_condition:' are no options"),
        ("weight_norm:method=samples", "'weight_norm' has no options; leave ':method=samples' out"),
        ("tvt:method=samples", "'tvt' has no options"),
        ("ntk:method=samples", "unknown proxy 'ntk:method=samples'"),
    ],
)
def test_what_is_no_option_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        proxies.get(name)


def test_an_option_is_given_once():
    assert parsed_options("a", "b=1, c=x") == {"b": 1, "c": "x"}
    with pytest.raises(ValueError, match="give each once"):
        parsed_options("a", "b=1,b=2")
    with pytest.raises(ValueError, match="unknown option of proxy 'ntk_condition', 'feature_fn'"):
        ntk_condition(feature_fn=len)
