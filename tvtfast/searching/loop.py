"""Run a search: propose, score, rank, and leave a folder that explains itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tqdm.auto import tqdm

from tvtfast.common.files import replacing
from tvtfast.common.machine import machine, versions
from tvtfast.proxies import CombinedProxy, Proxy
from tvtfast.scoring.limits import describe, unreached
from tvtfast.scoring.ranking import Method, rank
from tvtfast.scoring.scorer import Scorer
from tvtfast.scoring.store import ScoreStore
from tvtfast.scoring.table import ScoreTable
from tvtfast.searching.archive import Archive
from tvtfast.searching.objectives import pareto_front, parse_objectives
from tvtfast.searching.report import report_search
from tvtfast.searching.result import SearchResult, order_of
from tvtfast.spaces import METRICS, Constraints, InfeasibleError, Space, parse_windows
from tvtfast.spaces import get as get_space
from tvtfast.strategies import Budget, Proposals, Strategy, choose, name_of, settings_of, traits
from tvtfast.strategies import get as get_strategy

if TYPE_CHECKING:
    import pandas as pd

STORE = "scores.sqlite"
TRACE = "trace.csv"

_RACED = 40
_IMAGES = 16

Scoring: TypeAlias = Callable[[list[Any]], ScoreTable]


def search(
    space: str | Space[Any],
    *,
    strategy: str | Strategy | None = None,
    trials: int | None = None,
    constraints: Constraints | None = None,
    proxies: Sequence[str | Proxy | CombinedProxy] = ("teacher_aware", "weight_norm"),
    method: Method = "minmax_sum",
    objectives: Sequence[str] | None = None,
    seed: int = 0,
    racing: bool | None = None,
    top_k: int = 10,
    run_dir: str | os.PathLike[str] | None = None,
    progress: bool = False,
    **scoring: Any,
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
            Any other score can be limited, too, such as ``"throughput": (500, None)`` (images per
            second, measured) or the name of a proxy: it is scored beside the proxies without being
            ranked, and a candidate outside gets status ``infeasible``: no children, no place in the
            ranking or on the front, and it never wins. Scores are kept as all others, so a limit
            can be moved without measuring again.
        proxies: What to score, see `tvtfast.score`.
        method: How the proxies are combined, see `tvtfast.rank`.
        objectives: Columns whose Pareto front is wanted: proxies in their direction, ``params`` and
            ``flops`` as costs. Default none; for ``nsga2`` the proxies and ``params``.
        seed: Seed of the strategy's draws and of the weights.
        racing: Show candidates few images first, and more only to those that may still be among the
            ``top_k`` best (`tvtfast.scoring.race`). Default: where that is possible, with at least
            40 candidates and 16 images, for strategies of one population (``random``,
            ``exhaustive``). The ``top_k`` best are those of full scoring in nearly all cases; the
            others get status ``partial`` and an estimate. ``True`` races every population of
            other strategies, whose later populations then build on estimates.
        top_k: The best that a race finds.
        run_dir: Folder for ``scores.sqlite``, ``scores.csv``, ``scores.parquet``, ``best.json``,
            ``front.json``, ``trace.csv`` (a line per population), ``run.json``, ``report.html`` and
            figures; ``None`` keeps everything in memory.
        progress: Show a progress bar.
        **scoring: The other arguments of `tvtfast.score`: ``teacher``, ``images``, ``dtype``, model
            options, ...

    Raises:
        ValueError: Bad arguments (see `tvtfast.score`), fewer than one trial, trials for a strategy
            that takes none, proxies or a space that a strategy cannot serve, an objective that is
            not scored, or ``racing=True`` where a race is not possible.
        InfeasibleError: The constraints leave no architecture, or fewer than ``random`` is to draw;
            or no candidate is inside a limit, and the message says what was reached.
        StoreError: The run folder cannot be written; scores already there are kept.
    """
    resolved_space = get_space(space)
    strategy, trials = choose(resolved_space, strategy, trials)
    one_population = bool(traits(strategy).racing)
    folder = None if run_dir is None else Path(run_dir)
    windows = parse_windows(constraints)
    limits = {name: windows.pop(name) for name in list(windows) if name not in METRICS}
    timings: dict[str, float] = {}
    store = ScoreStore(None if folder is None else folder / STORE)
    with store:
        with _timed(timings, "set-up"):
            scorer = Scorer(
                space=resolved_space,
                proxies=proxies,
                seed=seed,
                store=store,
                progress=progress and one_population,
                limits=limits,
                **scoring,
            )
        score = _scoring(scorer, strategy, racing, method, top_k)
        directions = _directions(scorer)
        if objectives is not None:
            aims = parse_objectives(objectives, directions, scorer.combined)
        else:
            aims = directions | {"params": False} if traits(strategy).front else {}
        settings = _settings(scorer, strategy, trials, constraints, method, seed, resolved_space)
        settings |= {"objectives": list(aims), "racing": racing, "top_k": top_k}
        run = {"settings": settings, "versions": versions(), "machine": machine()}
        _write_json(folder, "run.json", run | {"status": "running"})
        notes: dict[str, float] = {}
        try:
            budget = Budget(
                resolved_space.size if trials is None else trials,
                windows,
                seed,
                asdict(scorer.options),
                scorer.step_values,
                aims or directions,
                notes.update,
            )
            archive = Archive(resolved_space, method)
            proposals = get_strategy(strategy)(resolved_space, budget)
            with tqdm(
                total=trials,
                desc="searching",
                unit="candidate",
                disable=one_population or not progress,
            ) as bar:

                def record() -> None:
                    _write_trace(archive.trace(), folder)
                    bar.update(len(archive) - bar.n)

                table, answer = _explore(proposals, archive, score, notes, record, timings)
            with _timed(timings, "ranking"):
                scores = rank(table, method)
            result = SearchResult(
                space=resolved_space,
                options=scorer.options,
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
                fallbacks=tuple(scorer.fallbacks),
            )
            if folder is not None:
                _write_result(result, folder)
                with _timed(timings, "report"):
                    report_search(result, scorer, settings, folder)
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            _write_json(folder, "run.json", run | {"status": status, "error": repr(error)})
            raise
    race = None if table.race is None else table.race.describe()
    told = {"race": race, "fallbacks": [fallback.to_dict() for fallback in scorer.fallbacks]}
    _write_json(folder, "run.json", run | {"status": "finished", "seconds": timings} | told)
    return result


def _scoring(
    scorer: Scorer, strategy: str | Strategy, racing: bool | None, method: Method, top_k: int
) -> Scoring:
    """Score populations in full, or by races where that is asked for or worth it."""
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; give 1 or more")
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
        images = 0 if scorer.batch is None else len(scorer.batch)
        worth = images >= _IMAGES and len(population) >= max(_RACED, 2 * top_k)
        return scorer.race(population, method, top_k) if racing or worth else scorer(population)

    return score


def _directions(scorer: Scorer) -> dict[str, bool]:
    """The proxies that are ranked, and whether higher is better."""
    return {p.name: p.higher_is_better for p in scorer.single if p.name in scorer.scored}


def _explore(
    proposals: Proposals,
    archive: Archive,
    score: Scoring,
    notes: dict[str, float],
    record: Callable[[], None],
    timings: dict[str, float],
) -> tuple[ScoreTable, Any]:
    """Run a strategy to its end: the table of all it proposed, and the answer it returned; every
    population is recorded."""
    table, feedback, answer = None, None, None
    while True:
        try:
            with _timed(timings, "proposing"):
                # the first send starts the generator, and has nothing to tell
                population = proposals.send(feedback)  # type: ignore[arg-type]
        except StopIteration as end:
            answer = end.value
            break
        with _timed(timings, "scoring"):
            table = score(population)
        feedback = archive.add(population, table, notes)
        notes.clear()
        record()
    if table is None:
        raise ValueError("the strategy proposed no architecture; let it yield at least one")
    if answer is not None and answer not in archive.architectures:
        raise ValueError(
            f"the strategy returned {answer}, which it has not proposed; yield it first"
        )
    if len(table) != len(archive):
        table = score(archive.architectures)
    if table.limits:
        _check_limits(table, answer)
    return table, answer


def _check_limits(table: ScoreTable, answer: Any) -> None:
    """Refuse a search without a candidate inside the limits, and an answer that is outside."""
    if (table.violations > 0).all():
        raise InfeasibleError(unreached(table.to_pandas(), table.limits))
    if answer is not None:
        row = table.candidates.index(answer)
        if table.violations[row] > 0:
            raise InfeasibleError(
                f"the strategy returned {answer}, which is outside {describe(table.limits)}; "
                "return nothing, and the best inside wins"
            )


def _settings(
    scorer: Scorer,
    strategy: str | Strategy,
    trials: int | None,
    constraints: Constraints | None,
    method: Method,
    seed: int,
    space: Space[Any],
) -> dict[str, Any]:
    return {
        "space": space.name,
        "strategy": name_of(strategy),
        "strategy_settings": settings_of(strategy),
        "trials": trials,
        "constraints": {name: list(_pair(bounds)) for name, bounds in (constraints or {}).items()},
        "proxies": [*(p.name for p in scorer.single), *(p.name for p in scorer.combined)],
        "method": _name(method),
        "seed": seed,
        "init_seeds": len(scorer.seeds),
        "dtype": scorer.conditions.dtype,
        "device": str(scorer.conditions.device),
        "protocol": scorer.protocol,
        "images": None if scorer.batch is None else scorer.batch.name,
        "images_fingerprint": None if scorer.batch is None else scorer.batch.fingerprint,
        "teacher": None if scorer.teacher is None else scorer.teacher.name,
        "teacher_fingerprint": None if scorer.teacher is None else scorer.teacher.fingerprint,
        "model_options": asdict(scorer.options),
    }


def _pair(bounds: Any) -> tuple[Any, Any]:
    return (None, bounds) if isinstance(bounds, (int, float)) else tuple(bounds)


def _name(given: Any) -> str:
    return given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)


def _write_result(result: SearchResult, folder: Path) -> None:
    result.table.to_csv(folder / "scores.csv")
    result.table.to_parquet(folder / "scores.parquet")
    _write_trace(result.trace, folder)
    if result.order:
        _write_json(folder, "best.json", result.describe_best())
    if result.objectives:
        _write_json(folder, "front.json", [result.describe(row) for row in result.front])


def _write_trace(trace: pd.DataFrame, folder: Path | None) -> None:
    if folder is None:
        return
    with replacing(folder / TRACE) as target:
        trace.to_csv(target, index=False)


def _write_json(folder: Path | None, name: str, content: Any) -> None:
    if folder is None:
        return
    with replacing(folder / name) as target:
        target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - started
