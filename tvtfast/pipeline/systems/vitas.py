"""ViTAS: a superformer, evolution by the accuracy that candidates inherit, and retraining.

Source: Su et al., "ViTAS: Vision Transformer Architecture Search", ECCV 2022.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from tvtfast import spaces
from tvtfast.common.machine import as_device
from tvtfast.data import Splits
from tvtfast.models import Student, load_student
from tvtfast.models.student import CARD
from tvtfast.pipeline.defaults import DIGITS_RECIPE, Defaults
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.sections import search_section, superformer_section
from tvtfast.pipeline.stage_errors import stage
from tvtfast.pipeline.stages import (
    BASELINE,
    CUT,
    EXPORT,
    SEARCH,
    STUDENT,
    SUPERFORMER,
    Outcome,
    announce,
    baseline,
    exported,
    searched,
    trained,
)
from tvtfast.pipeline.systems.base import System
from tvtfast.proxies import INHERITED_ACCURACY
from tvtfast.report import StageSection, TrainedNetwork
from tvtfast.spaces import Space
from tvtfast.supernet import (
    SUPERFORMER_RECIPE,
    FinishedTraining,
    InheritedAccuracy,
    TrainedSuperformer,
    extract,
    load_superformer,
    train_superformer,
)

_DRAWN = 300
"""Candidates within the budget whose FLOPs tell what the superformer is to train."""


class ViTAS(System):
    """A candidate found by the accuracy that it inherits from a superformer."""

    name: ClassVar[str] = "vitas"
    summary: ClassVar[str] = "a superformer, evolution by inherited accuracy, retraining"
    space: ClassVar[str] = "vitas-deit"
    stages: ClassVar[tuple[str, ...]] = (SUPERFORMER, SEARCH, CUT, STUDENT, BASELINE, EXPORT)
    takes: ClassVar[frozenset[str]] = frozenset({"superformer_recipe"})

    def defaults(self, dataset: str) -> Defaults:
        """The published superformer, and for ``digits`` a short one of 2 million parameters."""
        if dataset != "digits":
            return Defaults(strategy="evolution")
        superformer = replace(
            SUPERFORMER_RECIPE,
            epochs=80,
            batch_size=32,
            augmentation="light",
            warmup_share=1 / 15,
            cutmix=0.0,
        )
        return Defaults(
            budget=2e6,
            strategy="evolution",
            trials=200,
            superformer_recipe=superformer,
            recipe=DIGITS_RECIPE,
            patch_size=8,
        )

    def check_space(self, space: Space[Any]) -> None:
        """Only a registered space with a superformer."""
        try:
            next(iter(space.largest()))
        except ValueError as error:
            raise ValueError(f"system {self.name!r} trains a superformer: {error}") from error
        if space.name not in spaces.available() or spaces.get(space.name) is not space:
            raise ValueError(
                f"a superformer of {space.name!r} is loaded again by the name of its space; enter "
                "the space with tvtfast.spaces.register"
            )

    def check_splits(self, splits: Splits) -> None:
        """Candidates are compared by images that were neither trained on nor are tested on."""
        if splits.held_out is None:
            raise ValueError(
                f"system {self.name!r} compares candidates by held-out images, and search_split=0 "
                "holds none out; give a share above 0"
            )

    def settings(self, plan: Plan) -> dict[str, Any]:
        """How the superformer is trained."""
        return {"superformer recipe": asdict(plan.chosen.superformer_recipe)}

    def run(self, plan: Plan) -> Outcome:
        """Superformer, evolution, cut, retraining, and what it is held against."""
        assert plan.held_out is not None
        finished = self._superformer(plan)
        superformer = load_superformer(finished.folder, device=as_device(plan.device))
        weights = superformer.fingerprint
        best = searched(
            plan,
            lambda known: _searched_with(known) == weights,
            constraints=plan.constraints,
            proxies=[InheritedAccuracy(superformer, plan.held_out, workers=plan.workers).proxy()],
        )
        cut = self._cut(plan, superformer, best)
        student = trained(plan, STUDENT, best)
        beside = baseline(plan, best)
        exported(plan, student)
        return Outcome(best, student, beside, superformer=finished, cut=cut)

    def _superformer(self, plan: Plan) -> FinishedTraining:
        announce(plan, SUPERFORMER, plan.space.name)
        folder = plan.folder / SUPERFORMER
        with stage(SUPERFORMER, folder):
            return train_superformer(
                plan.space,
                plan.train,
                output_dir=folder,
                flops=flops_window(plan),
                recipe=plan.chosen.superformer_recipe,
                **plan.training,
                **plan.options,
            )

    def _cut(self, plan: Plan, superformer: TrainedSuperformer, best: Mapping[str, Any]) -> Student:
        """The winner with inherited weights."""
        announce(plan, CUT, "the winner with its weights of the superformer")
        folder = plan.folder / CUT
        with stage(CUT, folder):
            if (folder / CARD).exists():
                kept = load_student(folder)
                same = kept.card.recipe.get("inherited_from") == superformer.fingerprint
                if same and kept.card.arch == best["arch"]:
                    return kept
            return extract(superformer, best, folder, evaluation=plan.test)

    def sections(self, plan: Plan, outcome: Outcome) -> tuple[StageSection, ...]:
        """The training of the superformer, and the evolution."""
        assert outcome.superformer is not None
        card = outcome.superformer.superformer.card
        low, high = (bound / 1e6 for bound in plan.window)
        training = (
            f"All candidates of {plan.space.name} on shared weights, one per step, with the FLOPs "
            "of those within the budget. The accuracy is that of one reference subnet, "
            f"{card.held_out_accuracy:.1f} % of the held-out images after the last epoch."
        )
        evolution = (
            f"Candidates with {low:.3g} to {high:.3g} million parameters, by the accuracy that "
            "they inherit, on the held-out images."
        )
        history = outcome.superformer.history
        return superformer_section(training, history), search_section(plan, evolution)

    def extras(self, outcome: Outcome) -> tuple[TrainedNetwork, ...]:
        """The winner as it is cut out of the superformer."""
        assert outcome.cut is not None and outcome.cut.card.accuracy is not None
        return (
            TrainedNetwork(
                name="the student, cut out",
                training="weights of the superformer",
                params=outcome.best["params"],
                flops=outcome.best["flops"],
                accuracy=outcome.cut.card.accuracy,
                held_out_accuracy=outcome.best["proxies"][INHERITED_ACCURACY.name],
                seconds=math.nan,
                curve=(),
            ),
        )


def flops_window(plan: Plan) -> tuple[float, float]:
    """FLOPs of candidates within the budget, from the least to the most: of all where the space can
    list them, else of some that are drawn.

    The subnets that a superformer is trained with are limited by their FLOPs.
    """
    space = plan.space
    if space.enumerable:
        drawn = space.enumerate(plan.constraints, **plan.options)
    else:
        rng = random.Random(plan.seed)
        drawn = [
            arch
            for _ in range(_DRAWN)
            for arch in space.sample(1, rng, plan.constraints, **plan.options)
        ]
    flops = [plan.space.flops(arch, **plan.options) for arch in drawn]
    return float(min(flops)), float(max(flops))


def _searched_with(known: Mapping[str, Any]) -> str | None:
    """Fingerprint of the superformer that the scores of a search rest on."""
    _, depends_on = known.get("scored", {}).get(INHERITED_ACCURACY.name, (None, {}))
    found: str | None = depends_on.get("superformer")
    return found
