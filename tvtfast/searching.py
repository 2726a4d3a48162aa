"""Run a search: propose, score, rank, and leave a folder that explains itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tvtfast.files import replacing
from tvtfast.machine import machine, versions
from tvtfast.proxies import CombinedProxy, Proxy
from tvtfast.ranking import Method, rank
from tvtfast.reporting import report_search
from tvtfast.score_table import ScoreTable
from tvtfast.scoring import Scorer
from tvtfast.search_result import SearchResult, order_of
from tvtfast.spaces import Constraints, Space
from tvtfast.spaces import get as get_space
from tvtfast.store import ScoreStore
from tvtfast.strategies import Budget, Strategy
from tvtfast.strategies import get as get_strategy

STORE = "scores.sqlite"


def search(
    space: str | Space[Any],
    *,
    strategy: str | Strategy = "random",
    trials: int = 1000,
    constraints: Constraints | None = None,
    proxies: Sequence[str | Proxy | CombinedProxy] = ("teacher_aware", "weight_norm"),
    method: Method = "minmax_sum",
    seed: int = 0,
    run_dir: str | os.PathLike[str] | None = None,
    **scoring: Any,
) -> SearchResult:
    """Find the best architecture of a space without training any.

    Every score is kept in ``run_dir`` as it is computed: a search that was stopped in any way
    continues when it is called again with the same arguments, computes nothing twice, and ends with
    the same table as one that was never stopped.

    Args:
        space: The space, or its name.
        strategy: ``random``, or a strategy of your own (`tvtfast.strategies`).
        trials: Number of distinct architectures to score.
        constraints: ``{"params": (low, high), "flops": (low, high)}``.
        proxies: What to score, see `tvtfast.score`.
        method: How the proxies are combined, see `tvtfast.rank`.
        seed: Seed of the strategy's draws and of the weights.
        run_dir: Folder for ``scores.sqlite``, ``scores.csv``, ``scores.parquet``, ``best.json``,
            ``run.json``, ``report.html`` and figures; ``None`` keeps everything in memory.
        **scoring: The other arguments of `tvtfast.score`: ``teacher``, ``images``, ``dtype``, model
            options, ...

    Raises:
        ValueError: Bad arguments (see `tvtfast.score`), or fewer than one trial.
        InfeasibleError: The constraints leave fewer than ``trials`` architectures.
        StoreError: The run folder cannot be written; scores already there are kept.
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}; give 1 or more")
    resolved_space = get_space(space)
    propose = get_strategy(strategy)
    folder = None if run_dir is None else Path(run_dir)
    timings: dict[str, float] = {}
    store = ScoreStore(None if folder is None else folder / STORE)
    with store:
        with _timed(timings, "set-up"):
            scorer = Scorer(
                space=resolved_space, proxies=proxies, seed=seed, store=store, **scoring
            )
        settings = _settings(scorer, strategy, trials, constraints, method, seed, resolved_space)
        run = {"settings": settings, "versions": versions(), "machine": machine()}
        _write_json(folder, "run.json", run | {"status": "running"})
        try:
            budget = Budget(trials, constraints, seed, asdict(scorer.options))
            table = _explore(resolved_space, propose, budget, scorer, method, timings)
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
            )
            if folder is not None:
                _write_result(result, folder)
                with _timed(timings, "report"):
                    report_search(result, scorer, settings, folder)
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            _write_json(folder, "run.json", run | {"status": status, "error": repr(error)})
            raise
    _write_json(folder, "run.json", run | {"status": "finished", "seconds": timings})
    return result


def _explore(
    space: Space[Any],
    propose: Strategy,
    budget: Budget,
    scorer: Scorer,
    method: Method,
    timings: dict[str, float],
) -> ScoreTable:
    seen: dict[str, Any] = {}
    table = None
    proposals = propose(space, budget)
    try:
        with _timed(timings, "proposing"):
            population = next(proposals)
        while True:
            seen |= {space.encode(arch): arch for arch in population}
            with _timed(timings, "scoring"):
                table = scorer(population)
            scores = rank(table, method).tolist()
            with _timed(timings, "proposing"):
                population = proposals.send(scores)
    except StopIteration:
        pass
    if table is None:
        raise ValueError("the strategy proposed no architecture; let it yield at least one")
    return table if len(table) == len(seen) else scorer(list(seen.values()))


def _settings(
    scorer: Scorer,
    strategy: str | Strategy,
    trials: int,
    constraints: Constraints | None,
    method: Method,
    seed: int,
    space: Space[Any],
) -> dict[str, Any]:
    return {
        "space": space.name,
        "strategy": _name(strategy),
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
    if result.order:
        _write_json(folder, "best.json", result.describe_best())


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
