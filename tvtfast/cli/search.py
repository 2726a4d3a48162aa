"""``tvtfast search``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast import strategies
from tvtfast.cli.costs import cost_data, cost_line, forecast_line
from tvtfast.cli.folders import command_folder
from tvtfast.cli.next_steps import cut_out_winner, train_winner
from tvtfast.cli.options import (
    add_rank_option,
    add_scoring_options,
    add_weights_options,
    add_window_options,
    choose_proxies,
    choose_window,
    constraints,
    plain_scoring,
    scoring_arguments,
)
from tvtfast.cli.output import Report, places, wrapped
from tvtfast.cli.parsing import Parser
from tvtfast.cli.superformers import add_superformer_options, settle
from tvtfast.cli.tables import candidate_rows, candidates_table, counted
from tvtfast.cli.trackers import add_tracker_options
from tvtfast.common.run_folder import CommandFolder
from tvtfast.spaces import describe_windows
from tvtfast.spaces import get as get_space

if TYPE_CHECKING:
    from tvtfast.scoring import ScoreTable
    from tvtfast.scoring.race import RaceSummary
    from tvtfast.searching import SearchResult

_TOP = 5

_EXAMPLES = (
    "tvtfast search --space pit --proxies weight_norm params",
    "tvtfast search --data-set photos/ --teacher teacher.pth --param-limits 9",
)


def parser() -> Parser:
    """Flags of the command. Without any, it searches a teacher's student for handwritten digits."""
    parser = Parser(
        "Find the best architecture of a space without training any.",
        _EXAMPLES,
    )
    add_scoring_options(parser)
    add_superformer_options(parser)
    add_weights_options(parser)
    add_rank_option(parser)
    parser.add_argument(
        "--strategy",
        type=str | None,
        default=None,
        help=f"{', '.join(strategies.available())}; default exhaustive for spaces of at most "
        f"{strategies.LISTED:,} architectures where --trials is not given, else random",
    )
    parser.add_argument(
        "--strategy-settings",
        type=dict[str, Any],
        default={},
        help="of evolution, nsga2 or reinforce, such as --strategy-settings.population 20",
    )
    parser.add_argument(
        "--objectives",
        type=str,
        nargs="+",
        default=[],
        help="columns whose Pareto front is wanted: proxies, params, flops, macs; default none, "
        "and the proxies and params for nsga2",
    )
    parser.add_argument(
        "--trials",
        type=int | None,
        default=None,
        help=f"architectures to score; default {strategies.TRIALS} for random, evolution "
        "and nsga2, 10 for exact, 500 for reinforce",
    )
    parser.add_argument(
        "--racing",
        type=bool | None,
        default=None,
        help="show candidates few images, and more to those that may be among the best; default "
        "where it is possible and worth it",
    )
    parser.add_argument("--top-k", type=int, default=10, help="the best that a race finds")
    add_window_options(parser)
    add_tracker_options(parser)
    parser.choices["strategy"] = strategies.available()
    parser.add_argument(
        "--output-dir",
        type=str | None,
        default=None,
        help="run folder; the same command continues a run that was stopped",
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Search, and tell what was found and where it lies."""
    from tvtfast.searching import search

    fill_in(cfg)
    folder = command_folder(cfg, default_folder(cfg), parser)
    arguments = asked(cfg, folder)
    result = search(**arguments)
    steps = {
        "train it": train_winner(cfg, folder.chosen, taught=arguments["teacher"] is not None),
        "cut it out": cut_out_winner(cfg, folder.chosen),
    }
    going_on = places({name: command for name, command in steps.items() if command})
    data = _data(result, folder.chosen)
    data |= {"train": steps["train it"], "cut_out": steps["cut it out"]}
    return Report("\n".join(filter(None, [_summary(result, folder.chosen), going_on])), data)


def fill_in(cfg: Namespace) -> None:
    """Flags that follow from others."""
    settle(cfg)
    choose_proxies(cfg)
    choose_window(cfg)


def asked(cfg: Namespace, folder: CommandFolder) -> dict[str, Any]:
    """Arguments of `tvtfast.search` from the flags, checked before images are read."""
    from tvtfast.searching.checking import check_search

    space = get_space(cfg.space)
    strategy, trials = strategies.choose(space, cfg.strategy, cfg.trials)
    if isinstance(strategy, str):
        strategy = strategies.configured(strategy, cfg.strategy_settings)
    windows = constraints(cfg)
    known: dict[str, Any] = {
        "strategy": strategy,
        "trials": trials,
        "constraints": windows,
        "method": cfg.method,
        "objectives": cfg.objectives or None,
        "top_k": cfg.top_k,
        "run_dir": folder,
    }
    check_search(space, scoring=plain_scoring(cfg), **known)
    scoring = scoring_arguments(cfg, progress=not cfg.quiet, windows=windows)
    curves = {"tensorboard": cfg.tensorboard, "wandb": cfg.wandb}
    return {"space": space, "racing": cfg.racing, **curves, **known, **scoring}


def default_folder(cfg: Namespace) -> Path:
    """Where the run goes unless it is said."""
    return Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.space}-seed{cfg.seed}"


def _summary(result: SearchResult, folder: Path) -> str:
    best = result.describe_best()
    table = result.table.to_pandas().assign(score=result.scores)
    shown = list(dict.fromkeys([result.best_row, *result.order]))[:_TOP]
    failed = result.table.trouble()
    lines = [
        f"{_place(result)} of {len(result.order):,} candidates of {result.space.name}:",
        counted(best),
        "",
        *_outscored(result),
        *_judged(result),
        candidates_table(table.loc[shown], result.space, _marks(result)),
        "",
        _effort(result),
        *cost_line(result.cost, len(result.table)),
        *forecast_line(folder),
        *([_front(result)] if result.objectives else []),
        *([wrapped(_race(result.table.race))] if result.table.race is not None else []),
        *([wrapped(_outside(result.table))] if result.table.constraints else []),
        *([wrapped(f"cells without a score: {failed}")] if failed else []),
        places(_files(result, folder)),
    ]
    return "\n".join(lines)


def _files(result: SearchResult, folder: Path) -> dict[str, Path]:
    return {
        "architecture": folder / "best.json",
        **({"Pareto front": folder / "front.json"} if result.objectives else {}),
        "all scores": folder / "scores.csv",
        "report": folder / "report.html",
    }


def _data(result: SearchResult, folder: Path) -> dict[str, Any]:
    table, race = result.table, result.table.race
    return {
        "run_dir": folder,
        "space": result.space.name,
        "candidates": len(table),
        "ranked": len(result.order),
        "evaluated": result.evaluated,
        "best": result.describe_best(),
        "best_score": None if result.better_row is None else result.describe(result.better_row),
        "top": candidate_rows(table, result.scores, result.order[:_TOP]),
        "front": [table.to_pandas()["arch"][row] for row in result.front],
        "race": None if race is None else {"share": race.share, "images": race.images},
        "seconds": dict(result.timings),
        "cost": cost_data(result.cost, len(table)),
        "judgement": None if result.judgement is None else result.judgement.to_dict(),
        "fallbacks": [str(one) for one in result.fallbacks],
    }


def _place(result: SearchResult) -> str:
    return "best" if result.answer is None else "answer of the strategy, out"


def _outscored(result: SearchResult) -> list[str]:
    """That the answer is not the best score, where it is not."""
    if result.better_row is None:
        return []
    own, best = (float(result.scores[row]) for row in (result.best_row, result.better_row))
    text = (
        f"the answer has score {own:.5g}, and the best score seen is {best:.5g}: what the strategy "
        "learned over all steps is not the candidate that scored best"
    )
    return [wrapped(text), ""]


def _judged(result: SearchResult) -> list[str]:
    """That the parameter count ranks better, where it is known to."""
    if result.judgement is None or not result.judgement.warning:
        return []
    return [wrapped(result.judgement.warning), ""]


def _marks(result: SearchResult) -> dict[int, str]:
    if result.better_row is None:
        return {}
    return {result.best_row: "answer", result.better_row: "best score"}


def _front(result: SearchResult) -> str:
    names = ", ".join(result.objectives)
    return f"{len(result.front):,} candidates on the Pareto front of {names}"


def _outside(table: ScoreTable) -> str:
    outside = int((table.violations > 0).sum())
    return f"{outside:,} of {len(table):,} candidates without {describe_windows(table.constraints)}"


def _race(race: RaceSummary) -> str:
    rungs = ", ".join(f"{rung.candidates:,} on {rung.images}" for rung in race.rungs)
    return f"a race on {race.share:.0%} of the image passes: {rungs} of {race.images} images"


def _effort(result: SearchResult) -> str:
    if not result.evaluated:
        return "every score was in the run folder already"
    seconds = result.timings["scoring"]
    known = len(result.table) - result.evaluated
    return (
        f"{result.evaluated:,} candidates scored in {seconds:.1f} s "
        f"({result.evaluated / seconds:.1f} per second)"
        + (f"; {known:,} were in the run folder already" if known else "")
    )
