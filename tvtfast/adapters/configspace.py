"""A space as a ``ConfigurationSpace`` of ConfigSpace, which SMAC and others search:
``from tvtfast.adapters import configspace``."""

from __future__ import annotations

from typing import Any

from tvtfast import spaces
from tvtfast.common.optional import need


def configuration_space(space: str | spaces.Space[Any], *, seed: int | None = None) -> Any:
    """The variables of a space as hyperparameters, with their conditions.

    ``space.from_choices(configuration)`` is the architecture of a configuration.

    Args:
        space: The space, or its name.
        seed: Of what the configuration space draws.

    Returns:
        A ``ConfigurationSpace`` with one ordinal hyperparameter per variable whose choices are
        ascending numbers, and a categorical one per other variable; of a single choice a constant.

    Raises:
        ImportError: ConfigSpace is missing or too old.
        ValueError: A space that does not state its variables.
    """
    need("ConfigSpace", "1.2", what="tvtfast.adapters.configspace", extra="hosts")
    import ConfigSpace as cs

    space = spaces.get(space)
    made = cs.ConfigurationSpace(space.name, seed=seed)
    known: dict[str, Any] = {}
    for variable in space.variables:
        labels = list(variable.labels)
        if len(labels) == 1:
            known[variable.name] = cs.Constant(variable.name, labels[0])
        elif variable.ordered:
            known[variable.name] = cs.OrdinalHyperparameter(variable.name, labels)
        else:
            known[variable.name] = cs.CategoricalHyperparameter(variable.name, labels)
    made.add(*known.values())
    for variable in space.variables:
        if variable.condition is not None:
            parent = known[variable.condition.variable]
            values = list(variable.condition.values)
            made.add(cs.InCondition(known[variable.name], parent, values))
    return made
