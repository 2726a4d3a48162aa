"""Grow a topology into a family of models, and leave a folder that explains itself."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common import checks
from tvtfast.common.files import check_folder, sweep, write_csv, write_json
from tvtfast.common.identity import Identity
from tvtfast.common.progress import track
from tvtfast.common.run_folder import RunFolder
from tvtfast.growing.rule import Grown, GrowthRules, GrowthStep, grow_steps
from tvtfast.proxies import BASELINES
from tvtfast.report import write_growth_figure
from tvtfast.scoring.identity import scoring_settings
from tvtfast.scoring.scorer import Scorer
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.setup import Setup
from tvtfast.scoring.store import STORE, ScoreStore
from tvtfast.spaces import ModelOptions, Space
from tvtfast.spaces import get as get_space

if TYPE_CHECKING:
    import pandas as pd

TABLE = "growth.csv"
"""Name of the file with every candidate of every step."""
MODELS = "models"
_PUBLISHED = Scoring(proxies=("ntk_condition", "length_distortion"), init_seeds=5)


@dataclass(frozen=True)
class Family:
    """Models that grew from one topology, smallest first.

    Args:
        space: Their space.
        options: Model options they were counted and scored with.
        higher_is_better: The proxies that decided, and their direction.
        steps: Every step of growth, with all its candidates.
        evaluated: Candidates scored by this call; the others were in the store.
    """

    space: Space[Any]
    options: ModelOptions
    higher_is_better: Mapping[str, bool]
    steps: tuple[GrowthStep, ...]
    evaluated: int

    @property
    def models(self) -> tuple[Grown, ...]:
        """One per step."""
        return tuple(step.model for step in self.steps)

    def pick(self, params: float) -> Grown:
        """The model whose parameter count is nearest, by their ratio.

        Raises:
            ValueError: Not a positive number.
        """
        params = checks.real("params", params, above=0)
        return min(self.models, key=lambda model: abs(math.log(model.params / params)))

    def to_pandas(self) -> pd.DataFrame:
        """One row per candidate of every step: ``step, chosen, arch`` (canonical JSON of the
        model), ``depths, width, params, flops`` (of the model), every proxy at the width of scoring
        (NaN for models that are too large; ``scored_params`` and ``scored_flops`` where growth is
        decided by these), its ``<proxy>_rank``, and ``rank_sum``."""
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
            "chosen": index == step.chosen,
            "arch": self.space.encode(one.model),
            "depths": "-".join(map(str, one.model.depths)),
            "width": one.model.width,
            "params": one.params,
            "flops": one.flops,
            **{_column(name): value for name, value in one.scores.items()},
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
            "proxies": dict(model.scores),
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
    Algorithm 2; `tvtfast.growing.rule.GrowthRules`, `tvtfast.growing.rule.GrowthStep`).

    Every score is kept in ``output_dir`` as it is computed: growth that was stopped continues when
    it is called again with the same arguments, and computes nothing twice.

    Args:
        topology: The architecture to grow, in any of its forms; its depths and width are replaced.
        space: Its space, or the name of it.
        rules: Size of steps and limits.
        target_params: Parameter counts to pick models for, see `Family.pick`.
        output_dir: Folder for ``growth.csv`` (every candidate of every step, written after each),
            ``family.csv`` and ``family.png`` (the models), ``models/`` (each in the form of a
            search's ``best.json``), ``picked.json`` (those nearest to the targets) and
            ``scores.sqlite``; ``None`` writes nothing. It holds one family: everything that it
            depends on is in ``run.json``, and any other is refused. Growth may go on to larger
            models (``stop_params``), and others may be picked.
        scoring: What decides; default the defaults of `tvtfast.scoring.Scoring`, with the
            published proxies and five weight draws.
        **settings: Fields of `tvtfast.scoring.Scoring` on top, such as ``images``, ``init_seeds``
            (5 in the paper), ``num_classes``, ``img_size``.

    Raises:
        ValueError: An architecture that cannot grow, bad arguments of `tvtfast.score`, a target
            that is no positive number, no candidate within the limits, or a step without any score.
        RunError: The folder holds another family, or another process grows one in it.
        StoreError: Scores cannot be written; those already there are kept.
    """
    resolved = get_space(space)
    start = resolved.decode(topology)
    check_targets(target_params)
    if output_dir is not None:
        check_folder("output_dir", output_dir)
    given = Scoring.of(scoring or _PUBLISHED, **settings)
    if given.store is not None:
        raise ValueError("growth keeps its scores in output_dir; leave store out")
    scorer = Scorer(given, space=resolved, progress=False)
    setup = scorer.setup
    if setup.combined:
        raise ValueError(
            f"{setup.combined[0].name} is scaled over a population; grow by its parts, whose ranks "
            "are added"
        )
    directions, options = setup.directions, asdict(setup.options)
    run = None
    if output_dir is not None:
        topology = resolved.to_dict(rules.start(start))
        run = _run_folder(output_dir, topology, rules, target_params, setup)
    folder = None if run is None else run.path

    def score(archs: list[Any]) -> dict[str, list[float]]:
        frame = scorer(archs).to_pandas()
        return {name: frame[name].astype("float64").tolist() for name in directions}

    def family() -> Family:
        return Family(resolved, setup.options, directions, tuple(steps), scorer.evaluated)

    steps: list[GrowthStep] = []
    with ExitStack() as opened:
        if run is not None:
            opened.enter_context(run.claimed())
        store = opened.enter_context(ScoreStore(None if folder is None else folder / STORE))
        scorer.keep_in(store)
        with track("growing", unit="step", show=given.progress) as bar:
            for step in grow_steps(
                start,
                rules,
                score=score,
                higher_is_better=directions,
                params=lambda arch: resolved.params(arch, **options),
                flops=lambda arch: resolved.flops(arch, **options),
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
        picked = {target: grown.pick(target) for target in target_params}
        if folder is not None:
            _write_family(grown, picked, folder)
    return grown


def _run_folder(
    given: str | os.PathLike[str],
    topology: Any,
    rules: GrowthRules,
    target_params: Sequence[float],
    setup: Setup,
) -> RunFolder:
    """The folder of a family. Growth may go on to larger models, and other models may be picked."""
    settings = {
        "space": setup.space and setup.space.name,
        "topology": topology,
        **asdict(rules),
        "target_params": list(target_params),
        **scoring_settings(setup),
    }
    identity = Identity("grow", settings, growing=("stop_params",), moving=("target_params",))
    return RunFolder(given, identity, holds=lambda folder: (folder / TABLE).exists())


def check_targets(target_params: Sequence[float]) -> None:
    """Refuse parameter counts that no model has.

    Raises:
        ValueError: A target that is no positive number.
    """
    for target in target_params:
        checks.real("target_params", target, above=0)


def _write_family(family: Family, picked: Mapping[float, Grown], folder: Path) -> None:
    sweep(folder / MODELS)
    table = family.to_pandas()
    models = table[table["chosen"]].drop(columns="chosen")
    write_csv(folder / "family.csv", models)
    (folder / MODELS).mkdir(exist_ok=True)
    for step in family.steps:
        write_json(folder / MODELS / f"step-{step.number:03d}.json", family.describe(step.model))
    if picked:
        write_json(
            folder / "picked.json",
            [{"target_params": target} | family.describe(one) for target, one in picked.items()],
        )
    drawn = {_column(name): higher for name, higher in family.higher_is_better.items()}
    write_growth_figure(models, drawn, folder / "family.png")


def _column(proxy: str) -> str:
    """Parameters and FLOPs are columns of the model already."""
    return f"scored_{proxy}" if proxy in BASELINES else proxy
