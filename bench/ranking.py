"""How proxies rank the architectures of ViT-Bench-101: ``python -m bench.ranking``.

Needs real data: an ``.npz`` of CIFAR-100 images, a checkpoint of a CIFAR ResNet, ViT-Bench-101.
The default proxies are judged as TVT scores them, all others on fewer and smaller images, in
studies that can be run one by one. What the search of a space says of its ranking is kept in
``tvtfast/scoring/judged.csv``, where rows of the rankings of a study replace those before. Scores
are kept in ``--store``: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

import tvtfast
from bench.machine import machine
from tvtfast.data import frozen_batch, load_vit_bench
from tvtfast.scoring.judged import FILE, judged_rows
from tvtfast.scoring.store import STORE

SPACES = ("autoformer-tiny", "pit")
TRUTHS = tuple(
    f"{data}_{training}_acc"
    for training in ("kd", "base")
    for data in ("c100", "flower", "chaoyang")
)
RESAMPLES = 1000
_SMALL = 112
_PATCHES = 8


class Study(NamedTuple):
    """What some proxies are judged with.

    Args:
        img_size: Side of the images.
        images: Their number.
        draws: Weight draws that scores are means of.
        proxies: Names.
    """

    img_size: int
    images: int
    draws: int
    proxies: tuple[str, ...]

    def __str__(self) -> str:
        draws = f"{self.draws} draw{'s' * (self.draws > 1)}"
        return f"{self.img_size} px, {self.images} images, {draws}"

    @property
    def patch_size(self) -> int:
        """An eighth of small images, as on the command line."""
        return self.img_size // _PATCHES if self.img_size < _SMALL else 16


STUDIES = {
    "default": Study(224, 32, 2, ("teacher_aware", "weight_norm", "tvt")),
    "zoo": Study(
        *(64, 8, 2),
        (
            *("relation_batch_similarity", "relation_cc", "relation_distance"),
            *("relation_rkd_angle", "relation_nst", "az_expressivity", "az_progressivity", "meco"),
            *("naswot", "swap", "attention_entropy", "head_similarity", "grad_norm", "plain"),
            *("snip", "fisher", "jacob_cov", "dss"),
        ),
    ),
    "weights": Study(64, 8, 2, ("synflow", "l2_norm")),
    "slow": Study(*(64, 8, 2), ("az_nas", "az_trainability", "diswot", "length_distortion", "zen")),
    "slowest": Study(64, 8, 1, ("ntk_condition", "ntk_trace", "zico", "grasp")),
}
DRAWS = Study(64, 32, 3, ("teacher_aware",))


def scored(
    archs: Sequence[Any], space: str, study: Study, options: argparse.Namespace, **given: Any
) -> tvtfast.ScoreTable:
    """Scores of some architectures, from the store where they are there."""
    folder = options.store / f"{space}-{study.img_size}"
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "proxies": study.proxies,
        "init_seeds": study.draws,
        "teacher": tvtfast.load_teacher(options.teacher),
        "images": frozen_batch(options.images, study.images, img_size=study.img_size),
        "patch_size": study.patch_size,
        "num_classes": 100,
        "store": folder / STORE,
        "progress": True,
    }
    return tvtfast.score(archs, space=space, **(arguments | given))


def independent(
    archs: Sequence[Any], seed: int, study: Study, options: argparse.Namespace
) -> npt.NDArray[np.float64]:
    """Every candidate has weights of its own, as in published code; all else is equal."""
    values = []
    for index, arch in enumerate(archs):
        own = {"seed": 1_000_000 * (seed + 1) + index, "init_seeds": 1, "progress": False}
        table = scored([arch], SPACES[0], study, options, proxies=("teacher_aware",), **own)
        values.append(table["teacher_aware"][0])
    return np.array(values)


def agreement(draws: Sequence[npt.NDArray[np.float64]]) -> str:
    """Kendall tau of every pair of draws."""
    taus = [stats.kendalltau(a, b).statistic for a, b in itertools.combinations(draws, 2)]
    return ", ".join(f"{tau:.2f}" for tau in taus)


def coefficients(frame: pd.DataFrame, name: str, form: str) -> Iterator[str]:
    """Lines of a table: a row per proxy, a column per accuracy; a number behind a proxy is that of
    the architectures that have a score, where some have none."""
    truths = list(frame["truth"].unique())
    yield f"| proxy | {' | '.join(truths)} |"
    yield f"|{' --- |' * (len(truths) + 1)}"
    cell, known = frame.set_index(["proxy", "truth"]), frame.groupby("proxy")["n"].max()
    for proxy in frame["proxy"].unique():
        cells = (_cell(cell.loc[(proxy, truth)], name, form) for truth in truths)
        missing = f" ({known[proxy]})" * int(known[proxy] < known.max())
        yield f"| {proxy}{missing} | {' | '.join(cells)} |"


def _cell(row: pd.Series[Any], name: str, form: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return "none" if np.isnan(value) else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def judged(
    space: str, study: Study, options: argparse.Namespace
) -> tuple[tvtfast.ScoreTable, pd.DataFrame]:
    """The scores of a study, and what they and all sizes are worth."""
    rows = load_vit_bench(options.truth, space)
    table = scored(rows["arch"].tolist(), space, study, options)
    frame = tvtfast.correlate(table, rows[list(TRUTHS)], n_resamples=RESAMPLES)
    shown = (frame["kind"] != "score") | frame["proxy"].isin(study.proxies)
    return table, frame[shown & ~frame["proxy"].str.endswith("_sum")]


def kept(rows: pd.DataFrame) -> pd.DataFrame:
    """All rows of `FILE`, those of the same rankings of the same space replaced, and written."""
    known = pd.read_csv(FILE)
    names = ["space", "ranking"]
    stays = ~known.set_index(names).index.isin(rows.set_index(names).index)
    both = pd.concat([known[stays], rows])
    both.to_csv(FILE, index=False, float_format="%.3f")
    return both


def chapter(space: str, study: Study, table: tvtfast.ScoreTable, frame: pd.DataFrame) -> list[str]:
    """All tables of one study of one space."""
    lines = ["", f"## {space}: {len(table)} architectures, {study}"]
    for name, form, title in (
        ("tau", "+.2f", "Kendall tau-b"),
        ("tau_over_params", "+.2f", "Kendall tau-b less that of the parameter count"),
        ("tau_given_params", "+.2f", "Kendall's partial tau given the parameter count"),
        ("gain_share", "+.0%", "Share of the possible gain inside a budget"),
    ):
        lines += ["", title, "", *coefficients(frame, name, form)]
    reasons = frame.loc[frame["reason"] != ""].drop_duplicates("proxy")
    for proxy, reason in zip(reasons["proxy"], reasons["reason"], strict=True):
        lines += ["", f"No value of {proxy}: {reason}."]
    draws = frame.drop_duplicates("proxy").set_index("proxy")["draw_tau"].dropna()
    if draws.empty:
        return lines
    agree = ", ".join(f"{proxy} {tau:+.2f}" for proxy, tau in draws.items())
    return [*lines, "", f"Kendall tau between weight draws: {agree}."]


def summary(rows: pd.DataFrame) -> Iterator[str]:
    """Lines of a table: per ranking on how many accuracies it is below the parameter count, and
    above it, and on how many it ranks at equal parameter count; beyond chance all of them."""
    counted = {
        "below": rows["tau_over_params_high"] < 0,
        "above": rows["tau_over_params_low"] > 0,
        "at equal size": rows["tau_given_params_low"] > 0,
    }
    found = rows.assign(**counted).groupby(["ranking", "space"], sort=False)[list(counted)].sum()
    titles = [f"{space}: {name}" for space in SPACES for name in counted]
    yield f"| ranking | {' | '.join(titles)} |"
    yield f"|{' --- |' * (len(titles) + 1)}"
    for ranking in rows["ranking"].unique():
        cells = [
            str(found.at[(ranking, space), name]) if (ranking, space) in found.index else "none"
            for space in SPACES
            for name in counted
        ]
        yield f"| {ranking} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ranking", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-100 as .npz")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of a CIFAR ResNet")
    parser.add_argument("--truth", type=Path, required=True, help="ViT-Bench-101")
    parser.add_argument("--store", type=Path, required=True, help="folder of known scores")
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    parser.add_argument(
        "--studies", nargs="+", choices=(*STUDIES, "draws"), default=(*STUDIES, "draws")
    )
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=SPACES)
    options = parser.parse_args()
    head = [
        "# Rankings of the architectures of ViT-Bench-101",
        "",
        f"`python -m bench.ranking --images {options.images.name} --teacher {options.teacher.name} "
        f"--truth {options.truth.name} --store scores --studies "
        f"{' '.join(options.studies)} --spaces {' '.join(options.spaces)}`",
        "",
        f"In brackets 95 % bootstrap intervals, {RESAMPLES} resamples of the architectures. One "
        "image of each class, weights",
        "shared by index, scores are means over weight draws. kd: distilled; base: from scratch.",
        "",
        machine(),
    ]
    overview: list[str] = []
    lines: list[str] = []
    chosen = [name for name in STUDIES if name in options.studies]
    for name, space in itertools.product(chosen, options.spaces):
        study = STUDIES[name]
        table, frame = judged(space, study, options)
        lines += chapter(space, study, table, frame)
        known = kept(judged_rows(frame, space, str(study)))
        overview = [
            "",
            f"## Against the parameter count, beyond chance, out of {len(TRUTHS)} accuracies",
            "",
            *summary(known),
        ]
        write([*head, *overview, *lines], options.output)
    if "draws" in options.studies:
        write([*head, *overview, *lines, *of_draws(options)], options.output)


def of_draws(options: argparse.Namespace) -> list[str]:
    """How much rankings of one proxy agree between weight draws."""
    space = SPACES[0]
    archs = load_vit_bench(options.truth, space)["arch"].tolist()
    shared = scored(archs, space, DRAWS, options).draws["teacher_aware"]
    own = [independent(archs, seed, DRAWS, options) for seed in range(2)]
    return [
        "",
        f"## teacher_aware of {space}, {DRAWS.img_size} px, {DRAWS.images} images",
        "",
        "| weights | Kendall tau between draws |",
        "| --- | --- |",
        f"| shared by index, three draws | {agreement(list(shared))} |",
        f"| independent, two draws | {agreement(own)} |",
    ]


def write(lines: Sequence[str], output: Path | None) -> None:
    """Print, and write what there is so far."""
    text = "\n".join([*lines, ""])
    print(text, flush=True)
    if output:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
