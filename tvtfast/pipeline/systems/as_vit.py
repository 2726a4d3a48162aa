"""As-ViT: a search for a topology, growth to the budget, and training on progressive tokens.

Source: Chen et al., "Auto-scaling Vision Transformers without Training", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from tvtfast.distill import STUDENT_RECIPE, ProgressiveTokens
from tvtfast.growing import GrowthRules, grow
from tvtfast.growing.record import PICKED
from tvtfast.pipeline.defaults import DIGITS_RECIPE, Defaults
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.sections import growth_section, search_section
from tvtfast.pipeline.stage_errors import read_json, stage
from tvtfast.pipeline.stages import (
    BASELINE,
    EXPORT,
    GROWTH,
    SEARCH,
    STUDENT,
    Outcome,
    announce,
    baseline,
    exported,
    is_finished,
    searched,
    trained,
)
from tvtfast.pipeline.systems.base import System
from tvtfast.report import StageSection
from tvtfast.spaces import InfeasibleError, Space

_PROXIES = ("ntk_condition", "length_distortion")
_DRAWS, _IMAGES = 5, 16
"""Weight draws of a score, and images of a kernel, as published."""

_RULES = GrowthRules()
_MILLION = 1e6


class AsViT(System):
    """A topology found and grown without training any."""

    name: ClassVar[str] = "as-vit"
    summary: ClassVar[str] = "a search for a topology, growth to the budget, progressive training"
    space: ClassVar[str] = "asvit"
    stages: ClassVar[tuple[str, ...]] = (SEARCH, GROWTH, STUDENT, BASELINE, EXPORT)

    def defaults(self, dataset: str) -> Defaults:
        """The published search, and for ``digits`` fewer steps and 3 million parameters."""
        tokens = ProgressiveTokens()
        if dataset != "digits":
            return Defaults(strategy="reinforce", recipe=replace(STUDENT_RECIPE, tokens=tokens))
        return Defaults(
            budget=3e6,
            strategy="reinforce",
            trials=100,
            recipe=replace(DIGITS_RECIPE, tokens=tokens),
        )

    def check_space(self, space: Space[Any]) -> None:
        """Only a space whose architectures have depths and width grows."""
        try:
            _RULES.start(_ends(space)[0])
        except ValueError as error:
            raise ValueError(
                f"system {self.name!r} grows topologies, and {space.name!r} has none ({error}); "
                "leave space out"
            ) from error

    def budget(self, space: Space[Any], wanted: float, **options: Any) -> float:
        """Growth meets any budget from its start on."""
        return max(wanted, _least(space, **options))

    def check_budget(self, plan: Plan) -> None:
        """Refuse a budget that growth begins above, or does not reach."""
        least = _least(plan.space, **plan.options)
        if not least <= plan.budget <= _RULES.max_params:
            raise InfeasibleError(
                f"budget is {plan.budget / _MILLION:g} million parameters, and topologies of "
                f"{plan.space.name!r} grow from {least / _MILLION:.3g} to "
                f"{_RULES.max_params / _MILLION:g} million; give a budget between them"
            )

    def settings(self, plan: Plan) -> dict[str, Any]:
        """The scores that decide."""
        del plan
        return {"proxies": list(_PROXIES), "weight draws": _DRAWS, "kernel images": _IMAGES}

    def run(self, plan: Plan) -> Outcome:
        """Topology, family, training, and what it is held against."""
        topology = searched(plan, lambda known: True, **self._scoring(plan))
        best = self._grown(plan, topology)
        student = trained(plan, STUDENT, best)
        beside = baseline(plan, best)
        exported(plan, student)
        return Outcome(best, student, beside)

    def _scoring(self, plan: Plan) -> dict[str, Any]:
        return {
            "proxies": _PROXIES,
            "init_seeds": _DRAWS,
            "images": plan.train,
            "batch_size": min(_IMAGES, len(plan.train)),
        }

    def _grown(self, plan: Plan, topology: Mapping[str, Any]) -> Mapping[str, Any]:
        """The model of the family for the budget."""
        announce(plan, GROWTH, f"to {plan.budget / _MILLION:.3g} M parameters")
        folder = plan.folder / GROWTH
        with stage(GROWTH, folder):
            if not is_finished(folder, PICKED):
                grow(
                    topology["arch"],
                    space=plan.space,
                    rules=rules_for(plan, topology["arch"]),
                    target_params=[plan.budget],
                    output_dir=folder,
                    seed=plan.seed,
                    device=plan.device,
                    progress=plan.progress,
                    executor=plan.executor,
                    **self._scoring(plan),
                    **plan.options,
                )
            (picked,) = read_json(folder / PICKED)
        best: Mapping[str, Any] = picked
        return best

    def sections(self, plan: Plan, outcome: Outcome) -> tuple[StageSection, ...]:
        """The search of the topology, and its growth."""
        grown = outcome.best
        topology = (
            f"Topologies of {plan.space.name}, scored untrained by {' and '.join(_PROXIES)}, means "
            f"of {_DRAWS} weight draws."
        )
        budget = (
            f"From one block per stage to {grown['params'] / _MILLION:.2f} million parameters "
            f"({grown['deviation']:+.1%} of the budget)."
        )
        if grown["reason"]:
            budget = f"{budget} The budget was not met: {grown['reason']}."
        return search_section(plan, topology), growth_section(plan, budget)


def rules_for(plan: Plan, topology: Any) -> GrowthRules:
    """The published rules, where the topology itself is no larger than the budget. Else models are
    less times as wide as what is scored."""
    arch = plan.space.decode(topology)
    narrower = [replace(_RULES, width_scale=scale) for scale in range(1, _RULES.width_scale + 1)]
    fitting = [
        rules
        for rules in narrower
        if plan.space.params(rules.model(rules.start(arch)), **plan.options) <= plan.budget
    ]
    return fitting[-1]


def _ends(space: Space[Any]) -> tuple[Any, Any]:
    """The architectures of all first and of all last choices."""
    lists = [variable.choices for variable in space.variables]
    return (
        space.from_choices([0] * len(lists)),
        space.from_choices([len(choices) - 1 for choices in lists]),
    )


def _least(space: Space[Any], **options: Any) -> int:
    """Parameters of the largest topology at its narrowest: any other can grow to as many."""
    rules = replace(_RULES, width_scale=1)
    return max(space.params(rules.model(rules.start(end)), **options) for end in _ends(space))
