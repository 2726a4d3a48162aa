"""Cases by operator, one file each: ``FORMS``, names of the baselines, ``cases(device)``,
functions that build the cases by name, and ``TARGETS`` of some cases, by name. Building a case
allocates its memory.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from bench.case import Builder
from bench.targets import Target

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


def targets(group: str) -> dict[str, Target]:
    """What cases of a group should reach, by name."""
    found: dict[str, Target] = getattr(GROUPS[group], "TARGETS", {})
    return found
