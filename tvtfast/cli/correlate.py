"""``tvtfast correlate``."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tvtfast.cli.options import (
    add_scoring_options,
    add_weights_options,
    choose_proxies,
    scoring_arguments,
)
from tvtfast.cli.output import Report, places, wrapped
from tvtfast.cli.parsing import Parser
from tvtfast.cli.superformers import add_superformer_options, settle
from tvtfast.cli.tables import lines
from tvtfast.common import checks
from tvtfast.common.files import check_folder
from tvtfast.common.progress import note

if TYPE_CHECKING:
    import pandas as pd

    from tvtfast.scoring import Truth

_ALWAYS = ("weight_norm",)
_RANKED = {
    "tau": "tau",
    "tau_given_params": "given params",
    "tau_given_params_depth": "given params, depth",
}
_LEGEND = """In brackets 95 % bootstrap intervals; those of all coefficients: correlations.csv.
gain: accuracy of the best by the score among the candidates with 85 to 100 % of a
limit in parameters, less their mean; mean over the windows of all limits that hold
5 candidates or more. top k: share of the true k best among the k best by score."""

_DEFAULT_SPACE = "autoformer-tiny"

_EXAMPLES = (
    "tvtfast correlate --truth gt_autoformer.pth --data-set cifar100",
    "tvtfast correlate --truth truth.csv --proxies params --resamples 1000",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Judge proxies by architectures of known accuracy: how they rank them, what that adds to "
        "the size, what choosing by them gains inside a budget, and what they cost.",
        _EXAMPLES,
    )
    add_scoring_options(parser, f"that of the truth, else {_DEFAULT_SPACE}")
    add_superformer_options(parser)
    add_weights_options(parser)
    parser.add_argument(
        "--truth",
        type=str,
        required=True,
        help="CSV or JSON file with rows of arch and accuracies, such as 'tvtfast truth collect' "
        "writes, or ViT-Bench-101: gt_autoformer.pth, gt_pit.pth, or a JSON file of OoD-ViT-NAS; "
        "its columns space, img_size, patch_size and num_classes stand for flags that are not "
        "given",
    )
    parser.add_argument(
        "--columns",
        type=str,
        nargs="+",
        default=[],
        help="columns of the truth, in which higher is better; default those that end in acc or "
        "accuracy, else all of numbers",
    )
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples")
    parser.add_argument(
        "--output-dir", type=str, default="runs/correlate", help="folder of scores and report"
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Score the architectures of the truth, and tell what every proxy is worth there."""
    from tvtfast.data import VisionDataset
    from tvtfast.data.draw import default_batch_size
    from tvtfast.report import (
        missing_values,
        nothing_beyond_size,
        size_warning,
        write_correlation_report,
    )
    from tvtfast.scoring import correlate, load_truth, score
    from tvtfast.scoring.store import STORE

    checks.whole("resamples", cfg.resamples, least=1)
    folder = check_folder("output_dir", cfg.output_dir)
    settle(cfg, space=None)
    truth = load_truth(cfg.truth, cfg.space, default=_DEFAULT_SPACE, columns=cfg.columns)
    cfg.space = truth.space.name
    measured = truth.frame.drop(columns="arch")
    remarks = [f"left out of {cfg.truth}: {what}" for what in truth.left_out]
    remarks += take_stated(cfg, truth, cfg.truth)
    if not cfg.quiet:
        for remark in remarks:
            note(remark)
    choose_proxies(cfg)
    cfg.proxies = list(dict.fromkeys([*cfg.proxies, *_ALWAYS]))
    arguments = scoring_arguments(cfg, progress=not cfg.quiet)
    folder.mkdir(parents=True, exist_ok=True)
    table = score(truth.archs, space=truth.space, store=folder / STORE, **arguments)
    table.to_csv(folder / "scores.csv")
    agreement = correlate(table, truth.frame, n_resamples=cfg.resamples, seed=cfg.seed)
    agreement.to_csv(folder / "correlations.csv", index=False)
    teacher, images = arguments["teacher"], arguments["images"]
    is_drawn = isinstance(images, VisionDataset)
    count = (cfg.batch_size or default_batch_size(images)) if is_drawn else len(images)
    page = write_correlation_report(
        folder,
        table.to_pandas()[["arch", *table.higher_is_better]],
        measured,
        agreement,
        title=f"Proxies on {Path(cfg.truth).name}, {cfg.space}",
        settings={
            "space": cfg.space,
            "images": f"{cfg.data_set}, {count} images",
            "teacher": "none" if teacher is None else teacher.name,
            "seed": str(cfg.seed),
            "init seeds": str(cfg.init_seeds),
            "dtype": cfg.dtype,
            "protocol": cfg.protocol,
        },
    )
    warning = size_warning(agreement)
    missing = [wrapped(line, indent="  ") for line in missing_values(agreement)]
    text = [wrapped(warning)] * bool(warning) + [_LEGEND, *_tables(agreement)]
    text += ["\n".join(missing)] * bool(missing) + [wrapped(warning)] * bool(warning)
    data = {
        "run_dir": folder,
        "space": cfg.space,
        "candidates": len(table),
        "correlations": agreement.to_dict("records"),
        "nothing_beyond_size": nothing_beyond_size(agreement),
        "report": page,
        "left_out": list(truth.left_out),
        "fallbacks": [str(one) for one in table.fallbacks],
    }
    return Report("\n\n".join([*text, places({"report": page})]), data)


def take_stated(cfg: Namespace, truth: Truth, path: str) -> list[str]:
    """Score networks as they were trained, where no flag says otherwise; what to know of it.

    Args:
        cfg: The flags, which are set.
        truth: What was trained.
        path: Its file.
    """
    taken = []
    for name in ("img_size", "patch_size", "num_classes"):
        if getattr(cfg, name) is None and isinstance(truth.stated.get(name), int):
            setattr(cfg, name, truth.stated[name])
            taken.append(f"--{name.replace('_', '-')} {truth.stated[name]}")
    remarks = [f"as {path} says: {' '.join(taken)}"] if taken else []
    trained = truth.stated.get("data_set")
    if trained is not None and trained != Path(cfg.data_set).stem:
        remarks.append(
            f"the architectures were trained on {trained} and are scored on {cfg.data_set}; "
            "--data-set chooses"
        )
    return remarks


def _tables(agreement: pd.DataFrame) -> list[str]:
    """Two tables per column of truth, a row per proxy, and one of what proxies cost."""
    text = []
    for truth, rows in agreement.groupby("truth", sort=False):
        known = int(rows["n"].max())
        ranked = _by_proxy(rows, {title: _intervals(rows, name) for name, title in _RANKED.items()})
        k = int(rows["precision_k"].iloc[0])
        title = f"{truth}, {known} architectures: Kendall tau-b, alone and with size held fixed"
        gained = {
            "Spearman": _numbers(rows, "rho", "+.3f"),
            "Pearson": _numbers(rows, "r", "+.3f"),
            "gain": _intervals(rows, "gain", "+.2f"),
            "of possible": _numbers(rows, "gain_share", "+.0%"),
            "windows": _numbers(rows, "windows", "d"),
            f"top {k}": _numbers(rows, "precision", ".2f"),
        }
        text += [f"{title}\n{lines(ranked)}", f"{truth}\n{lines(_by_proxy(rows, gained))}"]
    once = agreement.drop_duplicates("proxy")
    cost = {
        "s per candidate": _numbers(once, "seconds", ".3g"),
        "weight draws": _numbers(once, "draws", "d"),
        "tau of two draws": _numbers(once, "draw_tau", "+.3f"),
    }
    return [*text, f"Cost, and agreement between weight draws\n{lines(_by_proxy(once, cost))}"]


def _by_proxy(rows: pd.DataFrame, shown: Mapping[str, list[str]]) -> pd.DataFrame:
    """Columns of text, a row per proxy."""
    import pandas as pd

    return pd.DataFrame(shown, index=rows["proxy"].tolist())


def _intervals(rows: pd.DataFrame, name: str, form: str = "+.3f") -> list[str]:
    columns = [rows[f"{name}{end}"] for end in ("", "_low", "_high")]
    return [
        "nan" if math.isnan(value) else f"{value:{form}} [{low:+.2f}, {high:+.2f}]"
        for value, low, high in zip(*columns, strict=True)
    ]


def _numbers(rows: pd.DataFrame, name: str, form: str) -> list[str]:
    return ["nan" if math.isnan(value) else format(value, form) for value in rows[name].tolist()]
