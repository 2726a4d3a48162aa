"""An evaluator of archai that scores its whole queue in one call: ``from tvtfast.adapters.archai
import ProxyEvaluator``."""

from __future__ import annotations

import math
import warnings
from typing import Any

import tvtfast
from tvtfast.common.optional import need


def __getattr__(name: str) -> Any:
    if name != "ProxyEvaluator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("archai", "1.0", what="tvtfast.adapters.archai")
    from archai.discrete_search.api.archai_model import ArchaiModel
    from archai.discrete_search.api.model_evaluator import AsyncModelEvaluator
    from typing_extensions import override

    class ProxyEvaluator(AsyncModelEvaluator):
        """One score as an ``AsyncModelEvaluator``: ``send`` queues, ``fetch_all`` scores.

        Candidates are what ``ArchaiModel.arch`` holds: modules, scored with the weights they have
        and left as they were, or architectures of ``space``, scored as one population. A candidate
        without a score is ``None``, and a warning says why. There is no partial score, so budgets
        make no difference.

        Args:
            proxy: Name of `tvtfast.proxies.available`; ``tvt`` compares what is in one queue.
            **settings: Of `tvtfast.Scorer`: ``teacher``, ``images``, ``labels``, ``space``...

        Raises:
            ImportError: archai is missing or too old.
            ValueError: See `tvtfast.Scorer`.
        """

        def __init__(self, proxy: str = "teacher_aware", **settings: Any) -> None:
            self.proxy, self.scorer = proxy, tvtfast.Scorer(proxies=(proxy,), **settings)
            self.queue: list[Any] = []

        @override
        def send(self, arch: ArchaiModel, budget: float | None = None) -> None:
            self.queue.append(arch.arch)

        @override
        def fetch_all(self) -> list[float | None]:
            queue, self.queue = self.queue, []
            return _scores(self.scorer, self.proxy, queue) if queue else []

    ProxyEvaluator.__module__, ProxyEvaluator.__qualname__ = __name__, name
    return globals().setdefault(name, ProxyEvaluator)


def _scores(scorer: tvtfast.Scorer, proxy: str, queue: list[Any]) -> list[float | None]:
    table = scorer(queue)
    values = table[proxy].tolist()
    if not all(map(math.isfinite, values)):
        for reason in sorted({*table.reasons[proxy]} - {""}):
            warnings.warn(f"{proxy} is None where {reason}", stacklevel=3)
    return [value if math.isfinite(value) else None for value in values]
