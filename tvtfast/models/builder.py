"""From an architecture to a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tvtfast.initialization import ParameterInit, initialize_
from tvtfast.models.candidate import CandidateModel
from tvtfast.models.modes import NoInitialization
from tvtfast.models.registry import model_of
from tvtfast.spaces import ModelOptions, Reference, Space, reference, references
from tvtfast.spaces import get as get_space

M = TypeVar("M", bound=nn.Module)


def parameter_rule(
    space: str | Space[Any],
) -> Callable[[str, nn.Module], ParameterInit | None] | None:
    """How models of a space draw their parameters, see `tvtfast.initialization.DeclaresInit`;
    ``None`` where no model states it without being built."""
    return getattr(model_of(get_space(space)), "parameter_init", None)


def blank(
    arch: Any | Mapping[str, Any] | str, *, space: str | Space[Any], **options: Any
) -> CandidateModel:
    """The module of an architecture on the meta device, whose weights have shapes and no values.

    Args:
        arch: As in `build`.
        space: As in `build`.
        **options: Fields of `tvtfast.spaces.ModelOptions`.
    """
    resolved_space = get_space(space)
    decoded = resolved_space.decode(arch)
    model = model_of(resolved_space)
    if model is None:
        raise ValueError(
            f"no model is registered for {type(decoded).__name__} of space "
            f"{resolved_space.name!r}; call tvtfast.models.register_model"
        )
    resolved = ModelOptions.of(**options)
    resolved_space.check_form(resolved)
    with torch.device("meta"), NoInitialization():
        return model(decoded, resolved_space, resolved)


def with_memory(model: M, device: torch.device | str) -> M:
    """A `blank` model whose parameters have memory on a device, and no values yet: what
    ``model.to_empty`` makes, in a third of its time."""
    made: dict[Tensor, nn.Parameter] = {}
    for part in model.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter not in made:
                memory = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                made[parameter] = nn.Parameter(memory, parameter.requires_grad)
            setattr(part, name, made[parameter])
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, torch.empty_like(buffer, device=device))
    return model


def build(
    arch: Any | Mapping[str, Any] | str,
    *,
    space: str | Space[Any] | None = None,
    num_classes: int | None = None,
    img_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    **options: Any,
) -> CandidateModel:
    """Build one candidate with index-keyed weights, see `tvtfast.initialize_`.

    Args:
        arch: An architecture of ``space``, its JSON string, or its published dictionary; without
            ``space`` a published model, or the name of one (`tvtfast.spaces.reference`).
        space: Name of a space, or the space.
        num_classes: Width of the classifier; 0 leaves it out, so that the model returns what it
            would read; default 100, or as published.
        img_size: Height and width of the images, in pixels; default 224, or as published.
        seed: Seed of the weights.
        device: Where the parameters live; default CPU.
        **options: What else is not as published, or the default: ``patch_size``, ``in_chans``,
            ``distilled``, ``drop_path_rate``, ``pool`` (`tvtfast.spaces.ModelOptions`).

    Returns:
        The module, fp32, in evaluation mode.

    Raises:
        ValueError: An architecture that is not sound, or neither a space nor a published model.
        TypeError: An option that no model has.
    """
    sizes = {"num_classes": num_classes, "img_size": img_size}
    options |= {name: value for name, value in sizes.items() if value is not None}
    headless = num_classes == 0
    if headless:
        del options["num_classes"]
    arch, space, options = described(arch, space, options)
    model = blank(arch, space=space, **options)
    initialize_(with_memory(model, device or "cpu"), seed).eval()
    if headless:
        model.reset_classifier(0)
    return model


def described(
    arch: Any, space: str | Space[Any] | None, options: Mapping[str, Any]
) -> tuple[Any, str | Space[Any], dict[str, Any]]:
    """Architecture, space and options of a model; without a space those of a published one, with
    the options that were given.

    Raises:
        ValueError: Neither a space nor a published model.
    """
    if space is not None:
        return arch, space, dict(options)
    found = _published(arch)
    return found.arch, found.space, {**asdict(found.options), **options}


def _published(arch: Any) -> Reference:
    if isinstance(arch, Reference):
        return arch
    if isinstance(arch, str) and not arch.lstrip().startswith("{"):
        return reference(arch)
    raise ValueError(
        "name the space of the architecture, space='autoformer-tiny', or build a published model "
        f"by its name: {', '.join(references())}"
    )
