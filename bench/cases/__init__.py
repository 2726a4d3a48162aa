"""Cases by operator, one file each: ``FORMS``, names of the baselines, and ``cases(device)``,
functions that build the cases by name. Building one allocates its memory.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from bench.case import Builder

_MODULES = {
    module.name: importlib.import_module(f"{__name__}.{module.name}")
    for module in pkgutil.iter_modules(__path__)
}
GROUPS: dict[str, Any] = {
    name: module for name, module in _MODULES.items() if hasattr(module, "cases")
}
"""Every file here that has cases."""


def builders(device: str) -> dict[str, dict[str, Builder]]:
    """Builders of all cases of a device, by group and name."""
    return {group: module.cases(device) for group, module in GROUPS.items()}
