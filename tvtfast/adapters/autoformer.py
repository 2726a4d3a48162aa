"""AutoFormer (Cream): its candidate tuples, and its evolution on scores of whole generations.

In ``evolution.py``, after the class; ``weights=model`` are those of the trained supernet::

    scorer = tvtfast.Scorer(space=autoformer.space_of(choices), weights=model, ...)
    EvolutionSearcher = autoformer.searcher(EvolutionSearcher, scorer)
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tvtfast import Scorer, rank
from tvtfast.spaces import AutoFormerArch, AutoFormerSpace

_MILLION = 1e6
_log = logging.getLogger(__name__)


def space_of(
    choices: Mapping[str, Sequence[Any]], name: str = "autoformer-host"
) -> AutoFormerSpace:
    """The space of ``choices`` there: ``num_heads``, ``mlp_ratio``, ``embed_dim``, ``depth``."""
    names = ("embed_dim", "depth", "mlp_ratio", "num_heads")
    widths, depths, ratios, heads = (tuple(sorted(choices[one])) for one in names)
    return AutoFormerSpace(name, widths, depths, tuple(map(float, ratios)), heads, True)


def to_arch(candidate: Sequence[Any]) -> AutoFormerArch:
    """The architecture of a tuple: depth d, d MLP ratios, d numbers of heads, width.

    Raises:
        ValueError: Another number of entries than 2 + 2 d.
    """
    depth = int(candidate[0]) if len(candidate) else 0
    if len(candidate) != 2 + 2 * depth:
        raise ValueError(
            f"the candidate {tuple(candidate)} has {len(candidate)} entries; give its depth d, "
            "d MLP ratios, d numbers of heads and the width"
        )
    ratios, heads = map(float, candidate[1 : depth + 1]), map(int, candidate[depth + 1 : -1])
    return AutoFormerArch(int(candidate[-1]), depth, tuple(ratios), tuple(heads))


def to_candidate(arch: AutoFormerArch) -> tuple[Any, ...]:
    """The reverse of `to_arch`."""
    return (arch.depth, *arch.mlp_ratio, *arch.num_heads, arch.hidden_dim)


def score_candidates(
    candidates: Iterable[Sequence[Any]], scorer: Scorer, method: str = "minmax_sum"
) -> list[float]:
    """Combined scores (`tvtfast.rank`) of two or more tuples, in one call; higher is better.

    They compare within a call. A candidate without a score has ``-inf``, and the log says why.
    """
    table = scorer([to_arch(candidate) for candidate in candidates])
    for status, count in table.trouble().items():
        _log.warning("%d scores have status %r: their candidates come last", count, status)
    scores = rank(table, method).tolist()
    return [-math.inf if math.isnan(score) else score for score in scores]


def searcher(base: Any, scorer: Scorer, method: str = "minmax_sum") -> Any:
    """The host's ``EvolutionSearcher``, on scores in place of accuracies.

    The host draws and varies candidates. Where it compares them, all that it has met are scored in
    one call (the scorer's store has those of before); ``acc`` and ``test_acc`` are the score.
    Neither its model nor its loaders are used.
    """
    given, options = scorer.setup.space, asdict(scorer.setup.options)
    if not isinstance(given, AutoFormerSpace):
        raise ValueError(f"the scorer is for space {given!r}; make it for one of AutoFormer")
    space: AutoFormerSpace = given

    class ScoredSearcher(base):
        def is_legal(self, cand: tuple[Any, ...]) -> bool:
            info = self.vis_dict.setdefault(cand, {})
            if "visited" in info:
                return False
            info["params"] = space.params(to_arch(cand), **options) / _MILLION
            if self.min_parameters_limits <= info["params"] <= self.parameters_limits:
                info["visited"] = True
            return "visited" in info

        def update_top_k(self, candidates: Any, **arguments: Any) -> None:
            met = [cand for cand, info in self.vis_dict.items() if "visited" in info]
            for cand, score in zip(met, score_candidates(met, scorer, method), strict=True):
                self.vis_dict[cand]["acc"] = self.vis_dict[cand]["test_acc"] = score
            super().update_top_k(candidates, **arguments)

    return ScoredSearcher
