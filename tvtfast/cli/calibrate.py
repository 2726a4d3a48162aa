"""``tvtfast calibrate``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from tvtfast import spaces
from tvtfast.cli.correlate import take_stated
from tvtfast.cli.options import (
    add_flops_limits,
    add_scoring_options,
    choose_proxies,
    flops_windows,
    scoring_arguments,
)
from tvtfast.cli.output import Report, places, wrapped
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.superformers import add_superformer_options, settle
from tvtfast.cli.tables import candidates_table
from tvtfast.common import checks
from tvtfast.common.files import check_folder
from tvtfast.common.progress import note

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring import Calibration, ScoreTable, Truth

_SPACE = "autoformer-tiny"
_OPTIONS = ("img_size", "patch_size", "num_classes", "distilled")
_HELD_OUT = "held_out_accuracy"
_SHOWN = 10
_CONFIDENCE = 0.9
_MILLION = 1e6

_EXAMPLES = (
    "tvtfast calibrate --trained results.csv --data-set photos/",
    "tvtfast calibrate --trained results.csv --param-limits 6 --next 4",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Learn from a few trained architectures what all others of their space can be expected to "
        "reach, and which to train next. The result is a proxy: --proxies calibrated:FOLDER.",
        _EXAMPLES,
    )
    add_scoring_options(parser, f"that of the trained, else {_SPACE}")
    add_superformer_options(parser)
    parser.add_argument(
        "--trained",
        type=str,
        required=True,
        help="CSV or JSON file with rows of arch and accuracies, such as 'tvtfast truth collect' "
        "writes; its columns space, img_size, patch_size and num_classes stand for flags that are "
        "not given",
    )
    parser.add_argument(
        "--column",
        type=str | None,
        default=None,
        help="column of accuracies; default the only one that ends in held_out_accuracy, else the "
        "only one of accuracies",
    )
    parser.add_argument(
        "--prior",
        type=str | None,
        default=None,
        help="score whose ranking is where the calibration starts; default weight_norm, or params "
        "where it is not scored",
    )
    parser.add_argument(
        "--population",
        type=int,
        default=100,
        help="architectures that are drawn and scored beside the trained: they set the scale, and "
        "those to train next are among them",
    )
    parser.add_argument(
        "--next", type=int, default=3, help="how many architectures to train next are named"
    )
    window = parser.add_argument_group("budget of those to train next")
    window.add_argument(
        "--min-param-limits", type=float | None, default=None, help="parameters, in millions"
    )
    window.add_argument(
        "--param-limits", type=float | None, default=None, help="parameters, in millions"
    )
    add_flops_limits(window)
    parser.add_argument(
        "--output-dir", type=str, default="runs/calibration", help="folder of the calibration"
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Score the trained and others, fit, and tell what was learnt."""
    from tvtfast.scoring import calibrate, load_truth, score
    from tvtfast.scoring.calibration import accuracy_column
    from tvtfast.scoring.store import STORE

    checks.whole("population", cfg.population, least=1)
    checks.whole("next", cfg.next, least=1)
    folder = check_folder("output_dir", cfg.output_dir)
    settle(cfg, space=None)
    truth = load_truth(
        cfg.trained, cfg.space, default=_SPACE, columns=[cfg.column] if cfg.column else ()
    )
    cfg.space = truth.space.name
    column = accuracy_column(_meant(truth), cfg.column)
    remarks = [f"left out of {cfg.trained}: {what}" for what in truth.left_out]
    remarks += [f"accuracies are those of column {column}"] * (cfg.column is None)
    remarks += take_stated(cfg, truth, cfg.trained)
    if not cfg.quiet:
        for remark in remarks:
            note(remark)
    choose_proxies(cfg)
    _refuse_unnamed(cfg.proxies)
    if cfg.prior is not None and cfg.prior not in (*cfg.proxies, *spaces.METRICS):
        raise UsageError(
            f"--prior is {cfg.prior}, which is not scored; name it among --proxies, too"
        )
    budget = _budget(cfg)
    arguments = scoring_arguments(cfg, progress=not cfg.quiet, windows=budget)
    options = {name: arguments[name] for name in _OPTIONS if name in arguments}
    count = min(cfg.population, truth.space.size)
    drawn = truth.space.sample(count, cfg.seed, budget, **options)
    fresh = len({*drawn} - {*truth.archs})
    if fresh < cfg.next:
        raise UsageError(
            f"--next is {cfg.next}, and {fresh} of the drawn architectures were not trained; raise "
            "--population, or widen the budget"
        )
    population = [*dict.fromkeys([*truth.archs, *drawn])]
    folder.mkdir(parents=True, exist_ok=True)
    table = score(population, space=truth.space, store=folder / STORE, **arguments)
    table.to_csv(folder / "scores.csv")
    calibration = calibrate(table, truth.frame, column=column, prior=cfg.prior)
    path = calibration.save(folder)
    chosen = calibration.next_to_train(table, cfg.next, budget)
    frame = table.to_pandas()[["arch", "params", "flops"]]
    frame["predicted"] = calibration.predict(table)
    frame[["low", "high"]] = calibration.interval(table, _CONFIDENCE)
    frame.to_csv(folder / "predictions.csv", index=False)
    agreement = _agreement(calibration, table, frame["predicted"])
    told = verdict(calibration, agreement)
    best = frame.sort_values("predicted", ascending=False, kind="stable").index[:_SHOWN]
    text = [
        told,
        *(wrapped(line, indent="  ") for line in calibration.notes),
        f"Best of {len(table)}, with {_CONFIDENCE:.0%} intervals\n"
        + candidates_table(frame.loc[best], truth.space),
        "To train next\n" + candidates_table(frame.loc[chosen], truth.space),
        places({"calibration": path, "predictions": folder / "predictions.csv"})
        + f"\nas a proxy    --proxies calibrated:{folder}",
    ]
    data = {
        "run_dir": folder,
        "space": cfg.space,
        "column": column,
        "trained": len(calibration.trained),
        "set_aside": list(calibration.set_aside),
        "prior": calibration.prior,
        "prior_alone": calibration.prior_alone,
        "verdict": " ".join(told.split()),
        "tau_with_prior": agreement,
        "slopes": calibration.slopes,
        "best": frame.loc[best].to_dict("records"),
        "next": frame.loc[chosen].to_dict("records"),
        "notes": list(calibration.notes),
        "left_out": list(truth.left_out),
        "fallbacks": [str(one) for one in table.fallbacks],
    }
    return Report("\n\n".join(text), data)


def verdict(calibration: Calibration, agreement: float) -> str:
    """What was learnt, for people.

    Args:
        calibration: What was fitted.
        agreement: Kendall's tau of its ranking and that of its prior.
    """
    count = len(calibration.trained) - len(calibration.set_aside)
    alone = (
        f"{calibration.prior} alone has weight {calibration.prior_alone:.2f}, and the two rankings "
        f"agree at tau {agreement:.2f}"
    )
    if not calibration.changed:
        return wrapped(
            f"{count} trained architectures are too few, or too much alike, to change the ranking "
            f"of {calibration.prior} ({alone}); train more"
        )
    largest = sorted(calibration.slopes.items(), key=lambda slope: -abs(slope[1]))
    told = ", ".join(f"{name} {slope:+.2f}" for name, slope in largest)
    return wrapped(
        f"{count} trained architectures change the ranking of {calibration.prior} ({alone}). "
        f"Accuracy per standard deviation of each column: {told}"
    )


def _agreement(calibration: Calibration, table: ScoreTable, predicted: pd.Series[float]) -> float:
    """Kendall's tau of predictions and prior."""
    from scipy import stats

    prior = table[calibration.prior] * calibration.columns[0].sign
    return float(stats.kendalltau(prior, predicted, nan_policy="omit").statistic)


def _refuse_unnamed(names: list[str]) -> None:
    """Refuse scores that the calibration could not name later, as one of its parts."""
    from tvtfast import proxies

    made = [name for name in names if proxies.made_later(name) is not None]
    if made:
        raise UsageError(
            f"--proxies names {', '.join(made)}, made from a folder, and a calibration is made of "
            "scores that have a name alone; leave it out"
        )


def _meant(truth: Truth) -> list[str]:
    """The columns that may be meant: of accuracies on held-out images, where there are any, since
    test images choose nothing."""
    names = [str(name) for name in truth.frame.columns]
    return [name for name in names if name.endswith(_HELD_OUT)] or names


def _budget(cfg: Namespace) -> spaces.Constraints | None:
    limits = (cfg.min_param_limits, cfg.param_limits)
    windows: dict[str, Any] = dict(flops_windows(cfg))
    if limits != (None, None):
        windows["params"] = tuple(None if one is None else one * _MILLION for one in limits)
    return windows or None
