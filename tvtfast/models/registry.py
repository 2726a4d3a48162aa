"""Which model is built from which type of architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from tvtfast.models.candidate import CandidateModel
from tvtfast.spaces.options import ModelOptions

ModelMaker: TypeAlias = Callable[[Any, Any, ModelOptions], CandidateModel]
"""``model(arch, space, options)``."""

_models: dict[type[Any], ModelMaker] = {}


def register_model(arch_type: type[Any], model: ModelMaker) -> None:
    """Declare how architectures of a type are built: ``model(arch, space, options)``."""
    _models[arch_type] = model


def model_of(arch_type: type[Any]) -> ModelMaker | None:
    """How architectures of a type are built; ``None`` where nobody declared it."""
    return _models.get(arch_type)
