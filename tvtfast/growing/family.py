"""Grow a topology into a family of models, and leave a folder that explains itself."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tvtfast.common import checks
from tvtfast.common.cost import Meter
from tvtfast.common.fallbacks import logger
from tvtfast.common.files import check_folder, write_csv
from tvtfast.common.identity import Identity
from tvtfast.common.progress import track
from tvtfast.common.run_folder import RunFolder
from tvtfast.growing.picks import Pick, nearest, pick, too_few
from tvtfast.growing.record import TABLE, column, write_family
from tvtfast.growing.rule import Grown, GrowthRules, GrowthStep, grow_steps
from tvtfast.report import draw_live
from tvtfast.scoring.identity import scoring_settings
from tvtfast.scoring.scorer import Scorer
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.store import STORE, ScoreStore
from tvtfast.spaces import ModelOptions, Space
from tvtfast.spaces import get as get_space

if TYPE_CHECKING:
    import pandas as pd

_PUBLISHED = Scoring(proxies=("ntk_condition", "length_distortion"), init_seeds=5)


@dataclass(frozen=True)
class Family:
    """Models that grew from one topology, smallest first.

    Args:
        space: Their space.
        options: Model options they were counted and scored with.
        higher_is_better: The proxies that decided, and their direction.
        steps: Every step of growth with all its candidates, the topology itself first, and every
            step that was refined for a target.
        picks: One per target of the call, in their order.
        evaluated: Candidates scored by this call; the others were in the store.
        seconds: That this call took.
    """

    space: Space[Any]
    options: ModelOptions
    higher_is_better: Mapping[str, bool]
    steps: tuple[GrowthStep, ...]
    picks: tuple[Pick, ...]
    evaluated: int
    seconds: float

    @property
    def models(self) -> tuple[Grown, ...]:
        """One per step, smallest first."""
        return tuple(sorted((step.model for step in self.steps), key=lambda one: one.params))

    def pick(self, params: float) -> Grown:
        """The model whose parameter count is nearest, by their ratio.

        Raises:
            ValueError: Not a positive number.
        """
        return nearest(self.models, checks.real("params", params, above=0))

    def to_pandas(self) -> pd.DataFrame:
        """One row per candidate of every step: ``step`` (0 for the topology itself),
        ``target_params`` (of a step that was refined for a target, else NaN), ``chosen, arch``
        (canonical JSON of the model), ``depths, width, params, flops, macs`` (of the model), every
        proxy at the width of scoring (NaN for models that are too large or too far from their
        target; ``scored_params`` and ``scored_flops`` where growth is decided by these), its
        ``<proxy>_rank``, and ``rank_sum``."""
        import pandas as pd

        frame = pd.DataFrame(
            [
                self._row(step, index, one)
                for step in self.steps
                for index, one in enumerate(step.candidates)
            ]
        )
        ranks = [column for column in frame.columns if column.endswith(("_rank", "rank_sum"))]
        return frame.astype(dict.fromkeys(ranks, "Int64"))

    def _row(self, step: GrowthStep, index: int, one: Grown) -> dict[str, Any]:
        ranks = dict.fromkeys(self.higher_is_better) if one.ranks is None else one.ranks
        return {
            "step": step.number,
            "target_params": math.nan if step.target is None else step.target,
            "chosen": index == step.chosen,
            "arch": self.space.encode(one.model),
            "depths": "-".join(map(str, one.model.depths)),
            "width": one.model.width,
            "params": one.params,
            "flops": one.flops,
            "macs": one.flops // 2,
            **{column(name): value for name, value in one.scores.items()},
            **{f"{name}_rank": rank for name, rank in ranks.items()},
            "rank_sum": one.rank_sum,
        }

    def describe(self, model: Grown) -> dict[str, Any]:
        """A model with all it takes to build it, in the form of a search's ``best.json``."""
        return {
            "space": self.space.name,
            "arch": self.space.to_dict(model.model),
            "model_options": asdict(self.options),
            "params": model.params,
            "flops": model.flops,
            "macs": model.flops // 2,
            "proxies": dict(model.scores),
        }

    def describe_pick(self, pick: Pick) -> dict[str, Any]:
        """A pick with its model in the form of `describe`, and ``target_params``, ``met``,
        ``deviation`` (parameters over target, minus 1) and ``reason`` (``None`` where it is
        met)."""
        return {
            "target_params": pick.target_params,
            "met": pick.met,
            "deviation": pick.deviation,
            "reason": pick.reason or None,
            **self.describe(pick.model),
        }


def grow(
    topology: Any,
    *,
    space: str | Space[Any] = "asvit",
    rules: GrowthRules = GrowthRules(),  # noqa: B008, it is frozen
    target_params: Sequence[float] = (),
    output_dir: str | os.PathLike[str] | None = None,
    scoring: Scoring | None = None,
    **settings: Any,
) -> Family:
    """Grow a topology into a family of models without training any.

    In every step one block is added to a stage and the width grows by 5 to 20 percent; of these (16
    at most) the candidate with the best sum of ranks over the proxies is the next model (As-ViT,
    Algorithm 2; `tvtfast.growing.rule.GrowthRules`, `tvtfast.growing.rule.GrowthStep`). A target
    that no model comes near has a step of its own, whose candidates are as large as it says
    (`tvtfast.growing.refinement.refined`). Growth ends with the largest target.

    Every score is kept in ``output_dir`` as it is computed: growth that was stopped continues when
    it is called again with the same arguments, and computes nothing twice.

    Args:
        topology: The architecture to grow, in any of its forms; its depths and width are replaced.
        space: Its space, or the name of it.
        rules: Size of steps and limits.
        target_params: Parameter counts that models are wanted for; ``picks`` of the family has the
            nearest model of each, and whether it is near enough. What is not is warned about.
        output_dir: Folder for ``growth.csv`` (every candidate of every step, written after each),
            ``family.csv`` and ``family.png`` (the models), ``models/`` (each in the form of a
            search's ``best.json``), ``picked.json`` (those nearest to the targets), ``report.html``
            and ``scores.sqlite``; ``None`` writes nothing. It holds one family: everything that it
            depends on is in ``run.json``, and any other is refused. Where growth ends
            (``stop_params``) may change, and so may the targets: no score is computed again.
        scoring: What decides; default the defaults of `tvtfast.scoring.Scoring`, with the
            published proxies and five weight draws.
        **settings: Fields of `tvtfast.scoring.Scoring` on top, such as ``images``, ``init_seeds``
            (5 in the paper), ``num_classes``, ``img_size``.

    Raises:
        ValueError: An architecture that cannot grow, bad arguments of `tvtfast.score`, a target
            that is no positive number or above ``max_params``, no candidate within the limits, or
            a step without any score.
        RunError: The folder holds another family, or another process grows one in it.
        StoreError: Scores cannot be written; those already there are kept.
    """
    meter = Meter()
    resolved = get_space(space)
    start = resolved.decode(topology)
    resolved.validate(rules.start(start))
    rules.check_targets(target_params)
    if output_dir is not None:
        check_folder("output_dir", output_dir)
    given = Scoring.of(scoring or _PUBLISHED, **settings)
    if given.store is not None:
        raise ValueError("growth keeps its scores in output_dir; leave store out")
    scorer = Scorer(given, space=resolved, progress=False)
    setup = scorer.setup
    if setup.combined:
        raise ValueError(
            f"{setup.combined[0].name} is combined from other scores; grow by its parts, whose "
            "ranks are added"
        )
    directions, options = setup.directions, asdict(setup.options)
    run = None
    if output_dir is not None:
        topology = resolved.to_dict(rules.start(start))
        run = _run_folder(output_dir, topology, rules, target_params, setup)
    folder = None if run is None else run.path
    told = _warn_of_small(
        target_params, resolved.params(rules.model(rules.start(start)), **options), rules
    )

    def score(archs: list[Any]) -> dict[str, list[float]]:
        frame = scorer(archs).to_pandas()
        return {name: frame[name].astype("float64").tolist() for name in directions}

    def family() -> Family:
        models = sorted((step.model for step in steps), key=lambda one: one.params)
        picks = tuple(pick(models, target, rules) for target in target_params)
        seconds = time.monotonic() - started
        return Family(
            resolved, setup.options, directions, tuple(steps), picks, scorer.evaluated, seconds
        )

    started = time.monotonic()
    steps: list[GrowthStep] = []
    with ExitStack() as opened:
        record = None if run is None else opened.enter_context(run.claimed())
        if record is not None:
            record.meter.begin_with(meter)
            record.board.offer("curves", lambda: _curves(steps))
            if scorer.executor is not None:
                record.meter.shared(scorer.executor.workers, scorer.executor.threads)
        store = opened.enter_context(ScoreStore(None if folder is None else folder / STORE))
        scorer.keep_in(store)
        opened.callback(scorer.close)
        with track("growing", unit="step", show=given.progress) as bar:
            for step in grow_steps(
                start,
                rules,
                score=score,
                higher_is_better=directions,
                params=lambda arch: resolved.params(arch, **options),
                flops=lambda arch: resolved.flops(arch, **options),
                targets=target_params,
            ):
                steps.append(step)
                bar.remark(f"{step.model.params / 1e6:.2f} M parameters")
                bar.update()
                if folder is not None:
                    write_csv(folder / TABLE, family().to_pandas())
        if not steps:
            raise ValueError(
                f"no model of the first step has at most {rules.max_params:,.0f} parameters; raise "
                "max_params, or start narrower"
            )
        grown = family()
        if run is not None and record is not None:
            record.candidates = sum(len(step.candidates) for step in steps)
            record.write("running")
            write_family(grown, run.path)
        if record is not None:
            record.results = {"seconds": grown.seconds, "evaluated": grown.evaluated}
    for one in grown.picks:
        if not one.met and one.target_params not in told:
            logger.warning("%s", one.reason)
    return grown


def _warn_of_small(
    target_params: Sequence[float], least: int, rules: GrowthRules
) -> frozenset[float]:
    """Say before any work which targets are below the topology itself.

    Returns:
        These targets; as published the first model is larger, and nothing is known yet.
    """
    small = frozenset(
        target
        for target in target_params
        if target < least and not rules.met(least, target) and not rules.paper
    )
    for target in sorted(small):
        logger.warning("%s", too_few(target, least))
    return small


def _curves(steps: Sequence[GrowthStep]) -> dict[str, Any]:
    """What the page of a growth that works shows: how the model has grown."""
    grown = [step.model.params / 1e6 for step in list(steps)]
    axes = {"x_axis": "step of growth", "y_axis": "million parameters"}
    return {"model of the step": {"x": list(range(len(grown))), "y": grown, **axes}}


def _run_folder(
    given: str | os.PathLike[str],
    topology: Any,
    rules: GrowthRules,
    target_params: Sequence[float],
    setup: Setup,
) -> RunFolder:
    """The folder of a family. Growth may end elsewhere, and other models may be wanted."""
    settings = {
        "space": setup.space and setup.space.name,
        "topology": topology,
        **asdict(rules),
        "target_params": list(target_params),
        **scoring_settings(setup),
    }
    identity = Identity("grow", settings, moving=("stop_params", "target_params", "tolerance"))
    return RunFolder(
        given, identity, holds=lambda folder: (folder / TABLE).exists(), draw=draw_live
    )
