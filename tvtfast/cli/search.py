"""``tvtfast search``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from jsonargparse import ArgumentParser

from tvtfast import strategies
from tvtfast.cli.options import (
    add_rank_option,
    add_scoring_options,
    add_window_options,
    constraints,
    scoring_arguments,
)
from tvtfast.cli.tables import candidates_table
from tvtfast.files import replacing
from tvtfast.reporting import CONFIG
from tvtfast.search_result import SearchResult
from tvtfast.searching import search
from tvtfast.spaces import get as get_space

_TOP = 5


def parser() -> ArgumentParser:
    """Flags of the command. Without any, it searches a teacher's student for handwritten digits."""
    parser = ArgumentParser(
        description="Find the best architecture of a space without training any."
    )
    add_scoring_options(parser)
    add_rank_option(parser)
    parser.add_argument(
        "--strategy", type=str, default="random", help=", ".join(strategies.available())
    )
    parser.add_argument("--trials", type=int, default=200, help="architectures to score")
    add_window_options(parser, default=(4.0, 7.0))
    parser.add_argument(
        "--output-dir",
        type=str | None,
        default=None,
        help="run folder; the same command continues a run that was stopped",
    )
    return parser


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Search, and print what was found and where it lies."""
    space = get_space(cfg.space)
    arguments = scoring_arguments(cfg, progress=True)
    folder = Path(cfg.output_dir or _default_folder(cfg))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / CONFIG) as target:
        parser.save(cfg, target, skip_unset=False)
    result = search(
        space,
        strategy=cfg.strategy,
        trials=cfg.trials,
        constraints=constraints(cfg),
        method=cfg.method,
        run_dir=folder,
        **arguments,
    )
    print(_summary(result, folder))


def _default_folder(cfg: Namespace) -> Path:
    return Path("runs") / f"{Path(cfg.data_set).stem}-{cfg.space}-seed{cfg.seed}"


def _summary(result: SearchResult, folder: Path) -> str:
    best = result.describe_best()
    table = result.table.to_pandas().assign(score=result.scores)
    failed = {name: n for name, n in result.table.counts().items() if n and name != "ok"}
    lines = [
        "",
        f"best of {len(result.order):,} candidates of {result.space.name}: "
        f"{best['params'] / 1e6:.2f} M parameters, {best['flops'] / 1e9:.2f} GFLOPs",
        "",
        candidates_table(table.loc[list(result.order[:_TOP])], result.space),
        "",
        _effort(result),
        *([f"cells without a score: {failed}"] if failed else []),
        f"architecture  {folder / 'best.json'}",
        f"all scores    {folder / 'scores.csv'}",
        f"report        {folder / 'report.html'}",
    ]
    return "\n".join(lines)


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
