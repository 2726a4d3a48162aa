"""What scores depend on where the space is not one of tvtfast."""

from __future__ import annotations

from typing import Any

from tvtfast.common.code_digest import code_digest
from tvtfast.models.registry import model_of
from tvtfast.spaces import Choices, Space, is_built_in


def space_definition(space: Space[Any]) -> str | None:
    """A digest of choices, model and space as they are defined, see
    `tvtfast.common.code_digest.code_digest`; ``None`` for the spaces that tvtfast brings along,
    which their names stand for."""
    if is_built_in(space):
        return None
    choices = space.choices if isinstance(space, Choices) else space
    return code_digest(type(space), space.arch_type, choices, model_of(space))
