"""Candidates that inherit trained weights: whether there are any for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from tvtfast.models import InheritedWeights, blank
from tvtfast.population import can_inherit, check_inherits
from tvtfast.scoring.candidates import ArchCandidate, Candidate
from tvtfast.scoring.timm_candidate import TimmCandidate
from tvtfast.spaces import Step


def check_heirs(population: Sequence[Candidate], weights: InheritedWeights) -> None:
    """Refuse architectures that there are no weights for, before anything is computed.

    Raises:
        ValueError: A layer is deeper, wider or of another size than that of the weights; or a
            candidate is a name of timm, which no weights are inherited by.
    """
    named = next((one for one in population if isinstance(one, TimmCandidate)), None)
    if named is not None:
        raise ValueError(
            f"weights are for architectures of a space, and {named.label!r} is a model of timm; "
            "score it apart, or give the module with its weights"
        )
    archs = [one for one in population if isinstance(one, ArchCandidate)]
    steps = steps_of(archs)
    if steps and can_inherit(steps):
        for step in steps:
            check_inherits(weights, step)
        return
    for one in archs:
        shapes = blank(one.source, space=one.space, **asdict(one.options))
        for name, parameter in shapes.named_parameters():
            weights.check(name, parameter.shape)


def steps_of(archs: Sequence[ArchCandidate]) -> Sequence[Step]:
    """The layers of architectures of one space; none where it does not state them."""
    if not archs or not archs[0].space.has_steps:
        return ()
    return archs[0].space.paths_of([one.source for one in archs], archs[0].options).steps
