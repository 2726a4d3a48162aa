"""Run a search: propose, score, rank, and leave a folder that explains itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from tvtfast.common.cost import Meter
from tvtfast.common.progress import track
from tvtfast.common.trackers import tracked
from tvtfast.scoring.constraints import unreached
from tvtfast.scoring.judged import judgement
from tvtfast.scoring.ranking import Method, rank_population
from tvtfast.scoring.scorer import Scorer
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.store import STORE, ScoreStore
from tvtfast.scoring.table import ScoreTable
from tvtfast.searching.archive import Archive
from tvtfast.searching.checking import check_search
from tvtfast.searching.objectives import pareto_front, parse_objectives
from tvtfast.searching.record import (
    search_folder,
    search_settings,
    summary,
    write_result,
    write_trace,
)
from tvtfast.searching.report import report_search
from tvtfast.searching.result import SearchResult, framed, order_of
from tvtfast.searching.watching import SearchView, tell
from tvtfast.spaces import (
    COUNTS,
    Constraints,
    InfeasibleError,
    Space,
    describe_windows,
    parse_constraints,
    parse_windows,
)
from tvtfast.spaces import get as get_space
from tvtfast.strategies import Budget, Proposals, Strategy, choose, name_of, traits
from tvtfast.strategies import get as get_strategy

_RACED = 40
_IMAGES = 16

Score: TypeAlias = Callable[[list[Any]], ScoreTable]


def search(
    space: str | Space[Any],
    *,
    strategy: str | Strategy | None = None,
    trials: int | None = None,
    constraints: Constraints | None = None,
    method: Method = "minmax_sum",
    objectives: Sequence[str] | None = None,
    racing: bool | None = None,
    top_k: int = 10,
    run_dir: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    wandb: str | None = None,
    scoring: Scoring | None = None,
    **settings: Any,
) -> SearchResult:
    """Find the best architecture of a space without training any.

    Every score is kept in ``run_dir`` as it is computed: a search that was stopped in any way
    continues when it is called again with the same arguments (it repeats its decisions, which
    depend on the seed and on scores alone), computes nothing twice, and ends with the same table as
    one that was never stopped.

    Args:
        space: The space, or its name.
        strategy: ``random``; ``exhaustive``: every architecture inside the constraints; ``exact``:
            the best by one proxy that is a sum over layers, found without scoring the others;
            ``evolution``, ``nsga2``, ``reinforce``, also with settings of their own such as
            ``tvtfast.strategies.Evolution(population=20)``; or a strategy of your own
            (`tvtfast.strategies`). Default ``exhaustive`` for spaces of at most 10,000
            architectures where ``trials`` is not given either, else ``random``.
        trials: Number of distinct architectures to score; default 1000, 10 for ``exact``, 500 steps
            for ``reinforce``. ``exhaustive`` takes none.
        constraints: ``{"params": (low, high), "flops": (low, high)}``: nothing outside is proposed.
            FLOPs are two per multiply-add; ``macs`` counts multiply-adds, as most papers do, and
            ``published_flops`` what the released code of ViTAS counts (spaces of vitas-deit).
            Any other score can be constrained, too, such as ``"throughput": (500, None)`` (images
            per second, measured) or the name of a proxy: it is scored beside the proxies, without
            being ranked, and a candidate outside gets status ``infeasible``: no children, no place
            in the ranking or on the front, and it never wins. Scores are kept as all others, so a
            window can be moved without measuring again.
        method: How the proxies are combined, see `tvtfast.rank`.
        objectives: Columns whose Pareto front is wanted: proxies in their direction, ``params`` and
            ``flops`` or ``macs`` as costs. Default none; for ``nsga2`` the proxies and ``params``.
        racing: Show candidates few images first, and more only to those that may still be among the
            ``top_k`` best (`tvtfast.scoring.race`). Default: where that is possible, with at least
            40 candidates and 16 images, for strategies of one population (``random``,
            ``exhaustive``). The ``top_k`` best are those of full scoring in nearly all cases; the
            others get status ``partial`` and an estimate. ``True`` races every population of
            other strategies, whose later populations then build on estimates.
        top_k: The best that a race finds.
        run_dir: Folder for ``scores.sqlite``, ``scores.csv``, ``best.json``,
            ``front.json``, ``trace.csv`` (a line per population), tables of the strategy (such as
            ``policy.csv`` of ``reinforce``), ``run.json``, ``report.html`` and figures; ``None``
            keeps everything in memory. It holds one search: everything that the result depends on
            is in ``run.json``, and any other search is refused. More trials go on in it, and so
            does one with other windows of scores, which replaces the results.
        tensorboard: Write TensorBoard's event files into ``run_dir``: the columns of ``trace.csv``
            over the candidates that were proposed.
        wandb: A project of Weights & Biases that keeps the same curves; ``WANDB_MODE=offline``
            keeps them on this machine.
        scoring: What candidates are scored with; default the defaults of
            `tvtfast.scoring.Scoring`. Its seed is that of the strategy's draws, too.
        **settings: Fields of `tvtfast.scoring.Scoring` on top, such as ``proxies``, ``teacher``,
            ``images``, ``seed``, and model options.

    Raises:
        ValueError: Bad arguments (see `tvtfast.score`), fewer than one trial, trials for a strategy
            that takes none, proxies or a space that a strategy cannot serve, an objective that is
            not scored, or ``racing=True`` where a race is not possible.
        InfeasibleError: The constraints leave no architecture, or fewer than ``random`` is to draw;
            or no candidate is inside a window, and the message says what was reached.
        RunError: The run folder holds another search, or another process searches in it.
        StoreError: Scores cannot be written; those already there are kept.
    """
    meter = Meter()
    resolved_space = get_space(space)
    given = Scoring.of(scoring, space=resolved_space, **settings)
    if given.store is not None:
        raise ValueError("a search keeps its scores in run_dir; leave store out")
    constraints = given.constraints if constraints is None else constraints
    check_search(
        resolved_space,
        strategy=strategy,
        trials=trials,
        constraints=constraints,
        method=method,
        objectives=objectives,
        top_k=top_k,
        run_dir=run_dir,
        scoring=given,
    )
    strategy, trials = choose(resolved_space, strategy, trials)
    one_population = bool(traits(strategy).racing)
    folder = None if run_dir is None else Path(run_dir)
    of_scores = parse_windows(constraints)
    windows = parse_constraints({name: of_scores.pop(name) for name in COUNTS if name in of_scores})
    timings: dict[str, float] = {}
    processor: dict[str, float] = {}
    with _timed(timings, processor, "set-up"):
        scorer = Scorer(given, progress=given.progress and one_population, constraints=of_scores)
    score = _population_score(scorer, strategy, racing, method, top_k)
    setup = scorer.setup
    if objectives is not None:
        aims = parse_objectives(objectives, setup.directions, setup.combined)
    else:
        aims = setup.directions | {"params": False} if traits(strategy).front else {}
    asked = search_settings(setup, strategy, trials, constraints, method)
    asked |= {"objectives": list(aims), "racing": racing, "top_k": top_k}
    run = None if run_dir is None else search_folder(run_dir, asked)
    folder = None if run is None else run.path
    notes: dict[str, float] = {}
    tables: dict[str, list[Mapping[str, Any]]] = {}
    archive = Archive(resolved_space, method)
    with ExitStack() as opened:
        record = None if run is None else opened.enter_context(run.claimed())
        if record is not None:
            record.meter.begin_with(meter)
            meter = record.meter
        if scorer.executor is not None:
            meter.shared(scorer.executor.workers, scorer.executor.threads)
        store = opened.enter_context(ScoreStore(None if folder is None else folder / STORE))
        scorer.keep_in(store)
        opened.callback(scorer.close)
        budget = Budget(
            resolved_space.size if trials is None else trials,
            windows,
            given.seed,
            asdict(setup.options),
            scorer.step_values,
            aims or setup.directions,
            notes.update,
            archive.remark,
            lambda name, rows: tables.setdefault(name, []).extend(rows),
        )
        proposals = get_strategy(strategy)(resolved_space, budget)
        trackers = opened.enter_context(
            tracked(folder, tensorboard=tensorboard, wandb=wandb, settings=asked)
        )
        if record is not None:
            SearchView(resolved_space, archive, scorer, method).on(record.board)
        with track(
            "searching",
            total=trials,
            unit="candidate",
            show=given.progress and not one_population,
        ) as bar:

            def keep() -> None:
                if folder is not None:
                    trace = archive.trace()
                    write_trace(folder, trace)
                    tell(trackers, trace)
                bar.update(len(archive) - bar.n)

            table, answer = _explore(proposals, archive, score, notes, keep, timings, processor)
        with _timed(timings, processor, "ranking"):
            scores = rank_population(table, method)
        result = SearchResult(
            space=resolved_space,
            options=setup.options,
            table=table,
            scores=scores,
            order=order_of(table, scores),
            timings=timings,
            evaluated=scorer.evaluated,
            run_dir=folder,
            answer=answer,
            objectives=aims,
            front=pareto_front(table, aims),
            trace=archive.trace(scores),
            tables=framed(tables),
            fallbacks=tuple(scorer.fallbacks),
            cost=meter.read(),
            judgement=None
            if setup.weights is not None
            else judgement(resolved_space.name, table.scored, method),
        )
        if folder is not None:
            write_result(folder, result)
            with _timed(timings, processor, "report"):
                report_search(result, scorer, asked, folder)
        if record is not None:
            record.results = summary(result) | {"processor_seconds": processor}
            record.candidates = len(table)
    return result


def _population_score(
    scorer: Scorer, strategy: str | Strategy, racing: bool | None, method: Method, top_k: int
) -> Score:
    """Score populations in full, or by races where that is asked for or worth it."""
    allowed = traits(strategy).racing
    if racing is False or (racing is None and not allowed):
        return scorer
    reason = scorer.race_obstacle(method)
    if allowed is False:
        reason = f"strategy {name_of(strategy)!r} learns from the scores of every candidate"
    if reason is not None:
        if racing:
            raise ValueError(f"a race is not possible: {reason}; leave racing out")
        return scorer

    def score(population: list[Any]) -> ScoreTable:
        batch = scorer.setup.batch
        images = 0 if batch is None else len(batch)
        worth = images >= _IMAGES and len(population) >= max(_RACED, 2 * top_k)
        return scorer.race(population, method, top_k) if racing or worth else scorer(population)

    return score


def _explore(
    proposals: Proposals,
    archive: Archive,
    score: Score,
    notes: dict[str, float],
    keep: Callable[[], None],
    timings: dict[str, float],
    processor: dict[str, float],
) -> tuple[ScoreTable, Any]:
    """Run a strategy to its end: the table of all it proposed, and the answer it returned; every
    population is recorded."""
    table, feedback, answer = None, None, None
    while True:
        try:
            with _timed(timings, processor, "proposing"):
                # the first send starts the generator, and has nothing to tell
                population = proposals.send(feedback)  # type: ignore[arg-type]
        except StopIteration as end:
            answer = end.value
            break
        population = archive.admit(population)
        with _timed(timings, processor, "scoring"):
            table = score(population)
        feedback = archive.add(population, table, notes)
        notes.clear()
        keep()
    if table is None:
        raise ValueError("the strategy proposed no architecture; let it yield at least one")
    if answer is not None and answer not in archive.architectures:
        raise ValueError(
            f"the strategy returned {answer}, which it has not proposed; yield it first"
        )
    if len(table) != len(archive):
        table = score(archive.architectures)
    if table.constraints:
        _check_constraints(table, answer)
    return table, answer


def _check_constraints(table: ScoreTable, answer: Any) -> None:
    """Refuse a search without a candidate inside the constraints, and an answer that is outside."""
    if (table.violations > 0).all():
        raise InfeasibleError(unreached(table.to_pandas(), table.constraints))
    if answer is not None:
        row = table.candidates.index(answer)
        if table.violations[row] > 0:
            raise InfeasibleError(
                f"the strategy returned {answer}, which is outside "
                f"{describe_windows(table.constraints)}; return nothing, and the best inside wins"
            )


@contextmanager
def _timed(timings: dict[str, float], processor: dict[str, float], stage: str) -> Iterator[None]:
    """Add what a stage takes to seconds and to processor seconds."""
    started, computed = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - started
        processor[stage] = processor.get(stage, 0.0) + time.process_time() - computed
