"""Which model is built from which type of architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tvtfast.models.candidate import CandidateModel
from tvtfast.spaces import ModelOptions, Space

ModelMaker: TypeAlias = Callable[[Any, Any, ModelOptions], CandidateModel]
"""``model(arch, space, options)``."""

_models: dict[type[Any], ModelMaker] = {}


def register_model(arch_type: type[Any], model: ModelMaker) -> None:
    """Declare how architectures of a type are built: ``model(arch, space, options)``."""
    _models[arch_type] = model


def model_of(space: Space[Any]) -> ModelMaker | None:
    """How architectures of a space are built: its own ``model``, or that of their type; ``None``
    where nobody declared it."""
    return getattr(space, "model", None) or _models.get(space.arch_type)
