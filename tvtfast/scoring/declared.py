"""Inputs as one proxy may read them: what it does not declare is refused."""

from __future__ import annotations

from typing import Any

from tvtfast.proxies import Proxy, UndeclaredInputError

_NEEDED = {
    "module": ("weights",),
    "seed": ("weights",),
    "weight_norms": ("weights",),
    "images": ("images",),
    "labels": ("labels",),
    "features": ("weights", "images"),
    "running": ("weights", "images"),
    "gradients": ("weights", "images", "labels", "gradients"),
    "teacher_map": ("teacher",),
    "teacher_features": ("teacher",),
    "teacher_class_map": ("teacher",),
    "teacher_size": ("teacher",),
}
"""What a proxy declares to read an input; the others are free."""


class DeclaredInputs:
    """`tvtfast.proxies.ProxyInputs` or `tvtfast.proxies.base.StepInputs` of one proxy.

    The score store keys a score by what its proxy declares, so a value that depends on anything
    else would be handed out where it is wrong.

    Raises:
        UndeclaredInputError: An input is read that ``needs`` of the proxy does not cover.
    """

    def __init__(self, inputs: Any, proxy: Proxy) -> None:
        self._inputs, self._proxy = inputs, proxy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"inputs of a proxy have no {name}")
        missing = [need for need in _NEEDED.get(name, ()) if need not in self._proxy.needs]
        if missing:
            declared = ", ".join(sorted(self._proxy.needs)) or "nothing"
            raise UndeclaredInputError(
                f"proxy {self._proxy.name!r} reads inputs.{name} and does not declare "
                f"{', '.join(missing)} (it declares {declared}); add it to needs"
            )
        if name == "module" and self._proxy.read_only:
            name = "module_to_read"
        return getattr(self._inputs, name)
