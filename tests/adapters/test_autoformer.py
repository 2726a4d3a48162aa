"""AutoFormer's candidate tuples, and an evolution like its own on scores of whole generations."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch

import tvtfast
from tvtfast.adapters import autoformer
from tvtfast.spaces import AutoFormerArch, reference

CHOICES = {"num_heads": [1, 2], "mlp_ratio": [1, 2.0], "embed_dim": [48, 32], "depth": [2, 3]}


@pytest.fixture(scope="module")
def supernet(load_program):
    return load_program(Path(__file__).parents[1] / "elastic.py").ElasticSupernet()


class Evolution:
    """The methods of the host's searcher that a generation goes through."""

    def __init__(self, seed=0):
        self.rng = random.Random(seed)
        self.vis_dict, self.keep_top_k, self.candidates = {}, {3: []}, []
        self.parameters_limits, self.min_parameters_limits = 10.0, 0.0

    def is_legal(self, cand):
        raise AssertionError("each candidate would be evaluated by itself")

    def get_random(self, num):
        while len(self.candidates) < num:
            depth, choose = self.rng.choice(CHOICES["depth"]), self.rng.choice
            entries = [choose(CHOICES[n]) for n in ("mlp_ratio", "num_heads") for _ in range(depth)]
            cand = (depth, *entries, choose(CHOICES["embed_dim"]))
            if self.is_legal(cand):
                self.candidates.append(cand)

    def update_top_k(self, candidates, *, k, key, reverse=True):
        self.keep_top_k[k] = sorted([*self.keep_top_k[k], *candidates], key=key, reverse=reverse)[
            :k
        ]


def test_tuples_both_ways():
    arch = reference("autoformer-t").arch
    candidate = autoformer.to_candidate(arch)
    assert candidate[0] == 13 and candidate[-1] == 192 and len(candidate) == 28
    assert autoformer.to_arch(candidate) == autoformer.to_arch(list(candidate)) == arch
    assert autoformer.to_arch((1, 4, 3, 64)) == AutoFormerArch(64, 1, (4.0,), (3,))
    for wrong in ((), (2, 4, 3, 64), (1, 4, 3)):
        with pytest.raises(ValueError, match="give its depth d"):
            autoformer.to_arch(wrong)


def test_a_generation_is_scored_in_one_call(supernet):
    space = autoformer.space_of(CHOICES)
    scorer = tvtfast.Scorer(space=space, weights=supernet, img_size=32, proxies="weight_norm")
    calls = []

    def counted(archs):
        calls.append(len(archs))
        return scorer(archs)

    counted.setup = scorer.setup
    search = autoformer.searcher(Evolution, counted)()
    for generation in (1, 2):
        search.candidates = []
        search.get_random(5)
        search.update_top_k(search.candidates, k=3, key=lambda cand: search.vis_dict[cand]["acc"])
        assert calls == [5, 10][:generation] and scorer.evaluated == 5 * generation
    norms = {
        cand: float(scorer([autoformer.to_arch(cand)])["weight_norm"][0])
        for cand in search.vis_dict
    }
    best = sorted(norms, key=norms.get, reverse=True)[:3]
    assert search.keep_top_k[3] == best
    info = search.vis_dict[best[0]]
    assert (
        info["params"]
        == space.params(autoformer.to_arch(best[0]), **vars(scorer.setup.options)) / 1e6
    )
    assert info["acc"] == info["test_acc"] == 1.0
    assert not search.is_legal(best[0])
    search.parameters_limits = 0.0
    search.vis_dict.pop(best[1])
    assert not search.is_legal(best[1]) and "acc" not in search.vis_dict[best[1]]


def test_a_candidate_without_a_score_comes_last(supernet, caplog):
    space, tuples = autoformer.space_of(CHOICES), [(2, 1, 1, 1, 1, 32), (2, 1, 1, 2, 2, 48)]
    names = {"img_size": 32, "weights": supernet}
    scorer = tvtfast.Scorer(space=space, proxies="weight_norm", **names)
    assert autoformer.score_candidates(tuples, scorer) == [0.0, 1.0]

    def broken(inputs):
        return math.nan if inputs.arch.hidden_dim == 48 else 1.0

    proxy = tvtfast.proxies.Proxy("broken", broken, True, frozenset({"weights"}))
    scorer = tvtfast.Scorer(space=space, proxies=(proxy,), **names)
    found = autoformer.score_candidates([*tuples, tuples[0]], scorer)
    assert found[1] == -math.inf and all(math.isfinite(found[place]) for place in (0, 2))
    assert "status 'nan'" in caplog.text
    with pytest.raises(ValueError, match="one of AutoFormer"):
        autoformer.searcher(Evolution, tvtfast.Scorer(space="pit", proxies="weight_norm"))
    assert torch.is_grad_enabled()
