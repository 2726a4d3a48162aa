"""A space and its scores as a problem of pymoo: ``from tvtfast.adapters.pymoo import
NASProblem``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import tvtfast
from tvtfast import spaces
from tvtfast.common.optional import need


def __getattr__(name: str) -> Any:
    if name != "NASProblem":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("pymoo", "0.6.1.5", what="tvtfast.adapters.pymoo", extra="hosts")
    from pymoo.core.problem import Problem

    class NASProblem(_NASProblem, Problem):
        """See `_NASProblem`."""

    NASProblem.__module__, NASProblem.__qualname__ = __name__, name
    return globals().setdefault(name, NASProblem)


class _NASProblem:
    """A ``Problem`` whose variables are the indices of choices, and which scores a generation in
    one call.

    Operators for integers go with it: ``IntegerRandomSampling()``, ``SBX(repair=RoundingRepair())``
    and ``PM(repair=RoundingRepair())``. Choices that are not decided beside the others count for
    nothing; the same architecture twice is scored once. ``F`` holds the objectives, negative where
    higher is better. ``G`` is 0 inside the windows of the scorer, and between 0 and 1 outside, more
    the further; it is 1 where an objective has no value, and ``F`` is 0 there.

    Args:
        space: The space, or its name.
        scorer: Scores architectures of it; its ``constraints`` are those of the problem.
        objectives: Columns: proxies of the scorer, and ``params``, ``flops`` or ``macs``, which are
            costs.

    Raises:
        ImportError: pymoo is missing or too old.
        ValueError: A space that does not state its variables, another one than that of the scorer,
            or an objective that the scorer has no single values of.
    """

    def __init__(
        self, space: str | spaces.Space[Any], scorer: tvtfast.Scorer, objectives: Sequence[str]
    ) -> None:
        self.space, self.scorer, self.objectives = spaces.get(space), scorer, tuple(objectives)
        setup = scorer.setup
        if setup.space != self.space:
            known = "none" if setup.space is None else repr(setup.space.name)
            raise ValueError(
                f"the space is {self.space.name!r}, and that of the scorer {known}; make the "
                f"scorer with space={self.space.name!r}"
            )
        higher = {proxy.name: proxy.higher_is_better for proxy in setup.single}
        higher |= dict.fromkeys(spaces.COUNTS, False)
        foreign = [name for name in self.objectives if name not in higher]
        if foreign or not self.objectives:
            raise ValueError(
                f"objectives are {', '.join(self.objectives) or 'empty'}; give some of "
                f"{', '.join(higher)}: others, such as tvt, compare within one population"
            )
        self.signs = np.array([-1.0 if higher[name] else 1.0 for name in self.objectives])
        last = [len(variable.choices) - 1 for variable in self.space.variables]
        super().__init__(
            n_var=len(last), n_obj=len(self.objectives), n_ieq_constr=1, xl=0, xu=last, vtype=int
        )  # type: ignore[call-arg]

    def architectures(self, X: npt.NDArray[Any]) -> list[Any]:
        """Those of rows ``[n, v]`` of indices, such as ``result.X``."""
        return [self.space.from_choices(row) for row in np.atleast_2d(X)]

    def _evaluate(self, X: npt.NDArray[Any], out: dict[str, Any], *_: Any, **__: Any) -> None:
        archs = self.architectures(X)
        rows = {arch: row for row, arch in enumerate(dict.fromkeys(archs))}
        table = self.scorer(list(rows))
        order = [rows[arch] for arch in archs]
        costs = np.stack([table[name] for name in self.objectives], axis=1)[order] * self.signs
        missing = ~np.isfinite(costs).all(axis=1, keepdims=True)
        outside = table.violations.to_numpy()[order, None]
        out["F"] = np.where(missing, 0.0, costs)
        out["G"] = np.where(missing, 1.0, 1 - 1 / (1 + outside))
