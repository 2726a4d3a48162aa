"""``tvtfast correlate``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tvtfast.cli.options import add_scoring_options, choose_proxies, scoring_arguments
from tvtfast.cli.output import Report, places
from tvtfast.cli.parsing import Parser
from tvtfast.cli.tables import lines
from tvtfast.common import checks
from tvtfast.common.files import check_folder

if TYPE_CHECKING:
    import pandas as pd

_ALWAYS = ("weight_norm",)
_STATISTICS = {"tau": "Kendall tau-b", "rho": "Spearman", "r": "Pearson"}

_EXAMPLES = (
    "tvtfast correlate --truth gt_autoformer.pth --data-set cifar100",
    "tvtfast correlate --truth measured.json --proxies params --resamples 1000",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Judge proxies by how they rank architectures of known accuracy.",
        _EXAMPLES,
    )
    add_scoring_options(parser)
    parser.add_argument(
        "--truth",
        type=str,
        required=True,
        help="ViT-Bench-101: gt_autoformer.pth, gt_pit.pth, or JSON rows of arch and accuracies",
    )
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples")
    parser.add_argument(
        "--output-dir", type=str, default="runs/correlate", help="folder of scores and report"
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Score the architectures of the truth, and tell how well every proxy ranks them."""
    from tvtfast.data import VisionDataset, load_vit_bench
    from tvtfast.data.draw import default_batch_size
    from tvtfast.report import write_correlation_report
    from tvtfast.scoring import correlate, score
    from tvtfast.scoring.store import STORE

    checks.whole("resamples", cfg.resamples, least=1)
    folder = check_folder("output_dir", cfg.output_dir)
    rows = load_vit_bench(cfg.truth, cfg.space)
    truth = rows.drop(columns="arch")
    choose_proxies(cfg)
    cfg.proxies = list(dict.fromkeys([*cfg.proxies, *_ALWAYS]))
    arguments = scoring_arguments(cfg, progress=not cfg.quiet)
    folder.mkdir(parents=True, exist_ok=True)
    table = score(rows["arch"], space=cfg.space, store=folder / STORE, **arguments)
    table.to_csv(folder / "scores.csv")
    agreement = correlate(table, truth, n_resamples=cfg.resamples, seed=cfg.seed)
    agreement.to_csv(folder / "correlations.csv", index=False)
    teacher, images = arguments["teacher"], arguments["images"]
    is_drawn = isinstance(images, VisionDataset)
    count = (cfg.batch_size or default_batch_size(images)) if is_drawn else len(images)
    page = write_correlation_report(
        folder,
        table.to_pandas()[["arch", *table.higher_is_better]],
        truth,
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
        f"{title} with 95 % bootstrap interval, {len(rows)} architectures\n"
        + lines(_pivot(agreement, statistic))
        for statistic, title in _STATISTICS.items()
    ]
    data = {
        "run_dir": folder,
        "space": cfg.space,
        "candidates": len(rows),
        "correlations": agreement.to_dict("records"),
        "report": page,
        "fallbacks": [str(one) for one in table.fallbacks],
    }
    return Report("\n\n".join([*text, places({"report": page})]), data)


def _pivot(agreement: pd.DataFrame, statistic: str) -> pd.DataFrame:
    columns = [agreement[f"{statistic}{end}"] for end in ("", "_low", "_high")]
    shown = [
        f"{value:+.3f} [{low:+.2f}, {high:+.2f}]" for value, low, high in zip(*columns, strict=True)
    ]
    wide = agreement.assign(shown=shown).pivot(index="truth", columns="proxy", values="shown")
    return wide[list(dict.fromkeys(agreement["proxy"]))].loc[
        list(dict.fromkeys(agreement["truth"]))
    ]
