"""Architectures as trials of Optuna, a population at a time: ``from tvtfast.adapters import
optuna``.

::

    trials, archs = optuna.ask(study, space, 40)
    table = tvtfast.score(archs, space=space, proxies=("weight_norm",))
    optuna.tell(study, trials, table["weight_norm"])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tvtfast import spaces
from tvtfast.common.optional import need


def ask(study: Any, space: str | spaces.Space[Any], n: int) -> tuple[list[Any], list[Any]]:
    """New trials, and the architecture of each.

    The parameters of a trial are the variables of the space that are decided, by the labels of
    their choices, as categories; its user attribute ``arch`` is the architecture as JSON.
    ``space.from_choices(study.best_params)`` is the best one. A sampler that learns from finished
    trials alone proposes a population better with ``TPESampler(constant_liar=True)``.

    Args:
        study: An ``optuna.Study``.
        space: The space, or its name.
        n: How many.

    Returns:
        The trials, and the architectures, which may repeat.

    Raises:
        ImportError: Optuna is missing or too old.
        ValueError: A space that does not state its variables.
    """
    need("optuna", "4.0", what="tvtfast.adapters.optuna", extra="hosts")
    space = spaces.get(space)
    # conditions are on variables that are always decided
    variables = sorted(space.variables, key=lambda variable: variable.condition is not None)
    trials, archs = [], []
    for _ in range(n):
        trial = study.ask()
        values: dict[str, Any] = {}
        for variable in variables:
            if variable.is_decided(values):
                label = trial.suggest_categorical(variable.name, variable.labels)
                values[variable.name] = variable.choices[variable.labels.index(label)]
        arch = space.from_choices(values)
        trial.set_user_attr("arch", space.encode(arch))
        trials.append(trial)
        archs.append(arch)
    return trials, archs


def tell(study: Any, trials: Sequence[Any], scores: npt.ArrayLike) -> None:
    """Finish trials with their scores; one without a score has failed.

    Args:
        study: The study that they are of, which knows the directions.
        trials: As `ask` gave them.
        scores: ``[n]``, or ``[n, k]`` of a study with k objectives, in their order; NaN where there
            is none.

    Raises:
        ImportError: Optuna is missing or too old.
        ValueError: Another shape; no trial is finished then.
    """
    need("optuna", "4.0", what="tvtfast.adapters.optuna", extra="hosts")
    from optuna.trial import TrialState

    values = np.asarray(scores, dtype=np.float64)
    rows = values[:, None] if values.ndim == 1 else values
    wanted = (len(trials), len(study.directions))
    if rows.shape != wanted:
        raise ValueError(
            f"scores are {list(values.shape)} for {wanted[0]} trials of {wanted[1]} objectives; "
            "give a row per trial and a column per objective"
        )
    for trial, row in zip(trials, rows, strict=True):
        if np.isfinite(row).all():
            study.tell(trial, row.tolist())
        else:
            study.tell(trial, state=TrialState.FAIL)
