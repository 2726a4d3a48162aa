"""A space as a parametrization of nevergrad: ``from tvtfast.adapters import nevergrad``.

::

    optimizer = ng.optimizers.PortfolioDiscreteOnePlusOne(nevergrad.parametrization(space), 200)
    candidates = [optimizer.ask() for _ in range(20)]
    archs = [space.from_choices(candidate.value) for candidate in candidates]
"""

from __future__ import annotations

from typing import Any

from tvtfast import spaces
from tvtfast.common.optional import need


def parametrization(space: str | spaces.Space[Any]) -> Any:
    """The variables of a space as a ``ng.p.Dict`` from names to labels of choices.

    ``space.from_choices(candidate.value)`` is the architecture of a candidate, and
    ``optimizer.minimize(loss)`` calls ``loss`` with that value. nevergrad has no conditions:
    choices that are not decided beside the others count for nothing. nevergrad minimises, so a
    score of which higher is better is told with a minus.

    Args:
        space: The space, or its name.

    Returns:
        One ``TransitionChoice`` per variable, ordered where the choices are ascending numbers.

    Raises:
        ImportError: nevergrad is missing or too old.
        ValueError: A space that does not state its variables.
    """
    need("nevergrad", "1.0.12", what="tvtfast.adapters.nevergrad", extra="hosts")
    import nevergrad as ng

    return ng.p.Dict(
        **{
            variable.name: ng.p.TransitionChoice(list(variable.labels), ordered=variable.ordered)
            for variable in spaces.get(space).variables
        }
    )
