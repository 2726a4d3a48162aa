"""Weights that are drawn once for many candidates, which are built one at a time."""

from __future__ import annotations

from torch import Tensor

from tvtfast.initialization import Constant, Keep, ParameterInit, draw_


class SharedDraws:
    """Draws as `tvtfast.initialization.draw_` does, and keeps what was drawn.

    What two shapes share has equal values, so a weight is drawn at the most rows and columns that
    were asked for, and a smaller one is a copy of its slice. Of a distribution that depends on the
    shape every one is kept. Beside that it is as much memory as the largest candidate takes, per
    seed.
    """

    def __init__(self) -> None:
        self._drawn: dict[tuple[object, ...], Tensor] = {}

    def __call__(self, parameter: Tensor, name: str, seed: int, init: ParameterInit) -> None:
        """Draw one parameter, in place; the arguments are those of `draw_`."""
        groups, wanted = init.groups, tuple(parameter.shape)
        if isinstance(init.distribution, (Constant, Keep)) or not wanted:
            draw_(parameter, name, seed, init)
            return
        key = name, seed, init, len(wanted), wanted[2:], parameter.dtype, parameter.device
        known = self._drawn.get(key)
        largest = wanted if known is None else tuple(map(max, known.shape, wanted))
        if known is None or largest != tuple(known.shape):
            known = parameter.new_empty(largest)
            draw_(known, name, seed, init)
            self._drawn[key] = known
        slices = known.unflatten(0, (groups, -1))[:, : wanted[0] // groups]
        if len(wanted) > 1:
            slices = slices[:, :, : wanted[1]]
        parameter.unflatten(0, (groups, -1)).copy_(slices)
