"""``tvtfast correlate``."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tvtfast.cli.options import add_scoring_options, choose_proxies, scoring_arguments
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
_STATISTICS = {"tau": "Kendall tau-b", "rho": "Spearman", "r": "Pearson"}

_DEFAULT_SPACE = "autoformer-tiny"

_EXAMPLES = (
    "tvtfast correlate --truth gt_autoformer.pth --data-set cifar100",
    "tvtfast correlate --truth truth.csv --proxies params --resamples 1000",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Judge proxies by how they rank architectures of known accuracy.",
        _EXAMPLES,
    )
    add_scoring_options(parser, f"that of the truth, else {_DEFAULT_SPACE}")
    add_superformer_options(parser)
    parser.add_argument(
        "--truth",
        type=str,
        required=True,
        help="CSV or JSON file with rows of arch and accuracies, such as 'tvtfast truth collect' "
        "writes, or ViT-Bench-101: gt_autoformer.pth, gt_pit.pth; its columns space, img_size, "
        "patch_size and num_classes stand for flags that are not given",
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
    """Score the architectures of the truth, and tell how well every proxy ranks them."""
    from tvtfast.data import VisionDataset
    from tvtfast.data.draw import default_batch_size
    from tvtfast.report import write_correlation_report
    from tvtfast.scoring import correlate, load_truth, score
    from tvtfast.scoring.store import STORE

    checks.whole("resamples", cfg.resamples, least=1)
    folder = check_folder("output_dir", cfg.output_dir)
    settle(cfg, space=None)
    truth = load_truth(cfg.truth, cfg.space, default=_DEFAULT_SPACE, columns=cfg.columns)
    cfg.space = truth.space.name
    measured = truth.frame.drop(columns="arch")
    remarks = [f"left out of {cfg.truth}: {what}" for what in truth.left_out]
    remarks += _take_stated(cfg, truth)
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
    text = [
        f"{title} with 95 % bootstrap interval, {len(table)} architectures\n"
        + lines(_pivot(agreement, statistic, measured.count()))
        for statistic, title in _STATISTICS.items()
    ]
    text += _undefined(agreement)
    data = {
        "run_dir": folder,
        "space": cfg.space,
        "candidates": len(table),
        "correlations": agreement.to_dict("records"),
        "report": page,
        "left_out": list(truth.left_out),
        "fallbacks": [str(one) for one in table.fallbacks],
    }
    return Report("\n\n".join([*text, places({"report": page})]), data)


def _take_stated(cfg: Namespace, truth: Truth) -> list[str]:
    """Score networks as they were trained, where no flag says otherwise; what to know of it."""
    taken = []
    for name in ("img_size", "patch_size", "num_classes"):
        if getattr(cfg, name) is None and isinstance(truth.stated.get(name), int):
            setattr(cfg, name, truth.stated[name])
            taken.append(f"--{name.replace('_', '-')} {truth.stated[name]}")
    remarks = [f"as {cfg.truth} says: {' '.join(taken)}"] if taken else []
    trained = truth.stated.get("data_set")
    if trained is not None and trained != Path(cfg.data_set).stem:
        remarks.append(
            f"the architectures were trained on {trained} and are scored on {cfg.data_set}; "
            "--data-set chooses"
        )
    return remarks


def _undefined(agreement: pd.DataFrame) -> list[str]:
    """Why there are coefficients without a value."""
    missing = agreement[agreement["reason"] != ""]
    return [
        "\n".join(
            wrapped(f"no value of {row['proxy']} and {row['truth']}: {row['reason']}", indent="  ")
            for _, row in missing.iterrows()
        )
    ] * bool(len(missing))


def _pivot(agreement: pd.DataFrame, statistic: str, known: pd.Series[int]) -> pd.DataFrame:
    columns = [agreement[f"{statistic}{end}"] for end in ("", "_low", "_high")]
    shown = [
        "nan" if math.isnan(value) else f"{value:+.3f} [{low:+.2f}, {high:+.2f}]"
        for value, low, high in zip(*columns, strict=True)
    ]
    wide = agreement.assign(shown=shown).pivot(index="truth", columns="proxy", values="shown")
    wide = wide[list(dict.fromkeys(agreement["proxy"]))].loc[
        list(dict.fromkeys(agreement["truth"]))
    ]
    wide.insert(0, "n", known[wide.index])
    return wide
