"""A predictor of NASLib that scores a whole list at once: ``from tvtfast.adapters.naslib import
ZeroCost`` in place of NASLib's own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

import tvtfast
from tvtfast.common.optional import need
from tvtfast.data import loader_batch
from tvtfast.proxies import refuse_other_loss

RENAMED = {"jacov": "jacob_cov", "nwot": "naswot"}
"""Proxies of tvtfast by the host's names; all others have one name."""
FAILED = -1e8
"""What the host takes for the score of a graph that has none."""


def __getattr__(name: str) -> Any:
    if name != "ZeroCost":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("naslib", "0.1", what="tvtfast.adapters.naslib")
    from naslib.predictors.predictor import Predictor

    class ZeroCost(_ZeroCost, Predictor):
        """See `_ZeroCost`."""

    ZeroCost.__module__, ZeroCost.__qualname__ = __name__, name
    return globals().setdefault(name, ZeroCost)


class _ZeroCost:
    """One score as a ``Predictor``, for graphs (any module) and for architectures of a space.

    Graphs are scored with the weights they have, in evaluation mode, and left as they were. All
    queries see one batch: ``images``, or the first that a dataloader gives. A graph without a score
    has the host's -1e8, and a warning says why.

    Args:
        method_type: Name of `tvtfast.proxies.available`, or ``jacov`` or ``nwot``; ``tvt`` compares
            the graphs of one list with each other.
        **settings: Of `tvtfast.Scorer`: ``teacher``, ``images``, ``labels``, ``space``,
            ``relative_to``...

    Raises:
        ImportError: NASLib is not there.
        ValueError: See `tvtfast.Scorer`; or no images, or gradients of another loss.
    """

    def __init__(self, method_type: str = "teacher_aware", **settings: Any) -> None:
        super().__init__()
        self.method_type = method_type
        self.settings = settings
        self.scorer: tvtfast.Scorer | None = None

    def query(self, graph: Any, dataloader: Any = None, info: Any = None) -> Any:
        """Scores, as `tvtfast.score` gives them.

        Args:
            graph: One, or a list of them, which is faster.
            dataloader: Read once, where there are no ``images``; default ``self.train_loader``,
                which NASLib's evaluators set.
            info: Not used.

        Returns:
            A float for one graph, fp64 ``[n]`` for a list.
        """
        many = isinstance(graph, (list, tuple, np.ndarray))
        graphs = list(graph) if many else [graph]
        scores = self._scores(graphs, dataloader)
        return scores if many else float(scores[0])

    def _scores(self, graphs: list[Any], dataloader: Any) -> npt.NDArray[np.float64]:
        proxy = RENAMED.get(self.method_type, self.method_type)
        for loss_fn in {graph.get_loss_fn() for graph in graphs if hasattr(graph, "get_loss_fn")}:
            refuse_other_loss((proxy,), loss_fn)
        if self.scorer is None:
            given = {**self._images(dataloader), **self.settings}
            self.scorer = tvtfast.Scorer(proxies=(proxy,), **given)
        table = self.scorer(graphs)
        values = table[proxy]
        if np.isfinite(values).all():
            return values
        for reason in sorted({*table.reasons[proxy]} - {""}):
            warnings.warn(f"{proxy} is {FAILED} where {reason}", stacklevel=3)
        return np.where(np.isfinite(values), values, FAILED)

    def _images(self, dataloader: Any) -> dict[str, Any]:
        loader = dataloader if dataloader is not None else getattr(self, "train_loader", None)
        if "images" in self.settings or loader is None:
            return {}
        return dict(zip(("images", "labels"), loader_batch(loader, ("random", 1, 0)), strict=True))
