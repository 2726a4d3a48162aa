"""Truth from one's own trainings: the accuracies of all students in some folders, as a table."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from tvtfast.common.fallbacks import logger
from tvtfast.common.foreign import BadFileError
from tvtfast.common.hashing import fingerprint
from tvtfast.common.run_folder import RECORD, RunError, is_busy, read_record
from tvtfast.models import build
from tvtfast.models.student import CARD, StudentCard, read_student_card
from tvtfast.spaces import Space
from tvtfast.spaces import get as get_space
from tvtfast.training.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("distilled", "plain", "inherited")
"""How an accuracy came about: trained with a teacher, without, or cut out of a superformer."""

_RECIPE = asdict(Recipe())
_DATA = ("dataset", "images", "labels", "pixels", "processes", "search_split")
_TEACHING = ("distillation", "teacher", "teacher_fingerprint")
_SHOWN = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "augmentation")
_CUT_OUT = "inherited_from"
_DIGITS = 8
_LONGEST = 40


@dataclass(frozen=True)
class Trained:
    """A student whose accuracy counts.

    Args:
        folder: Its folder.
        card: What it says.
        space: Its space.
        arch: Its architecture as canonical JSON.
        kind: One of `KINDS`.
    """

    folder: Path
    card: StudentCard
    space: Space[Any]
    arch: str
    kind: str

    @property
    def seed(self) -> int | None:
        """Of its training; ``None`` where there was none of its own."""
        return None if self.kind == "inherited" else self.card.recipe.get("seed")

    @property
    def settings(self) -> dict[str, Any]:
        """What all trainings of one table have in common."""
        options = self.card.model_options
        return {"data_set": self.card.dataset} | {
            name: options[name] for name in ("num_classes", "img_size", "patch_size")
        }

    @property
    def recipe(self) -> dict[str, Any]:
        """What those of one table that were trained, whatever their kind, have in common."""
        known = self.card.recipe
        of_model = {k: v for k, v in self.card.model_options.items() if k != "distilled"}
        found = {name: known.get(name, value) for name, value in _RECIPE.items()}
        return _plain(found | {name: known.get(name) for name in _DATA} | of_model)

    @property
    def own(self) -> dict[str, Any]:
        """What only those of its kind have in common."""
        names = (_CUT_OUT, "side") if self.kind == "inherited" else _TEACHING
        return _plain({name: self.card.recipe.get(name) for name in names})

    @property
    def digest(self) -> str:
        """Short name of all that its accuracy depends on besides architecture and seed; an option
        that came later is in it where it is given."""
        known = self.settings | self.own | ({} if self.kind == "inherited" else self.recipe)
        stated = {name: value for name, value in known.items() if value is not None}
        text = json.dumps(_plain(stated), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class Collected:
    """What was found in some folders.

    Args:
        frame: See `collect_truth`.
        left_out: Folders that are not in it, and why.
    """

    frame: pd.DataFrame
    left_out: tuple[tuple[Path, str], ...]


def collect_truth(
    folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    space: str | Space[Any] | None = None,
) -> pd.DataFrame:
    """Collect the accuracies of students that were trained here, as truth for `tvtfast.correlate`.

    Student folders are found wherever they lie in the given ones: what `tvtfast.distill.distill`,
    `tvtfast.run` and a growth with training leave, and what `tvtfast.supernet.extract` cuts out of
    a superformer. Accuracies are kept apart by how they came about: ``distilled`` with a teacher,
    ``plain`` without, ``inherited`` in a superformer. Seeds of one architecture are averaged.

    Args:
        folders: Run folders, student folders, or folders of such; one, or several.
        space: Take students of this space alone.

    Returns:
        One row per architecture, in the order of their folders: ``space``, ``arch`` (canonical
        JSON); for every kind that there is ``<kind>_accuracy`` (on the test images, in percent, the
        mean over seeds; of those inherited on the images they were cut out with),
        ``<kind>_held_out_accuracy`` (where all its cards have it), ``<kind>_n``
        (trainings), ``<kind>_sd`` (their standard deviation, of two or more), ``<kind>_seeds``,
        ``<kind>_recipe`` (a digest); ``data_set``, ``num_classes``, ``img_size``, ``patch_size``,
        ``params``, ``flops``, ``teacher``, and of the recipe ``epochs``, ``batch_size``,
        ``optimizer``, ``lr``, ``weight_decay``, ``augmentation``. A cell without value is missing.
        A warning names every folder that was left out, and why.

    Raises:
        FileNotFoundError: A folder is not there.
        ValueError: No student counts, or two were trained otherwise: recipe, data, sizes and, among
            those of one kind, teacher and distillation have to be equal.
    """
    given = [folders] if isinstance(folders, (str, os.PathLike)) else list(folders)
    collected = collect(given, space=space)
    for folder, reason in collected.left_out:
        logger.warning("left out: %s: %s", folder, reason)
    return collected.frame


def collect(
    folders: Iterable[str | os.PathLike[str]], *, space: str | Space[Any] | None = None
) -> Collected:
    """`collect_truth`, with what was left out beside the table."""
    wanted = None if space is None else get_space(space)
    paths = [Path(folder) for folder in folders]
    for path in paths:
        if not path.is_dir():
            raise FileNotFoundError(f"{path} is no folder; give run folders or student folders")
    left_out: list[tuple[Path, str]] = []
    found = _known_once(list(_students(paths, wanted, left_out)), left_out)
    if not found:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in left_out) or "no folder given"
        raise ValueError(
            f"no trained architecture{'' if wanted is None else f' of {wanted.name}'} was found "
            f"({reasons}); train some with 'tvtfast distill'"
        )
    _check_alike(found)
    return Collected(_table(found), tuple(left_out))


def _students(
    paths: list[Path], wanted: Space[Any] | None, left_out: list[tuple[Path, str]]
) -> Iterator[Trained]:
    """The students of some folders that count, and into ``left_out`` those that do not."""
    seen = {}
    for path in paths:
        folders = [Path(root) for root, _, files in sorted(os.walk(path)) if CARD in files]
        if not folders:
            left_out.append((path, "it holds no student"))
        for folder in folders:
            if folder.resolve() in seen:
                continue
            seen[folder.resolve()] = folder
            try:
                yield _trained(folder, wanted)
            except (_LeftOutError, BadFileError, RunError, OSError) as error:
                left_out.append((folder, str(error)))


class _LeftOutError(Exception):
    """A student that does not count; the message says why."""


def _trained(folder: Path, wanted: Space[Any] | None) -> Trained:
    card = read_student_card(folder).card
    if card.space is None or card.arch is None:
        raise _LeftOutError("it is a model of timm or a module, no architecture of a space")
    if wanted is not None and card.space != wanted.name:
        raise _LeftOutError(f"it is of space {card.space}")
    try:
        space = wanted or get_space(card.space)
        arch = space.encode(card.arch)
    except ValueError as error:
        raise _LeftOutError(f"its architecture cannot be read: {error}") from error
    if _CUT_OUT in card.recipe:
        kind = "inherited"
    else:
        kind = "distilled" if card.recipe.get("teacher_fingerprint") else "plain"
        _check_finished(folder)
        _check_from_scratch(card, space)
    if card.accuracy is None:
        raise _LeftOutError("its accuracy was not measured")
    return Trained(folder, card, space, arch, kind)


def _check_from_scratch(card: StudentCard, space: Space[Any]) -> None:
    """A student that was trained on has the accuracy of another recipe as well."""
    began, seed = card.recipe.get("weights"), card.recipe.get("seed")
    if began is None or seed is None:
        return
    module = build(card.arch, space=space, seed=seed, **dict(card.model_options))
    if fingerprint(*module.state_dict().values()) != began:
        raise _LeftOutError(f"it was trained on from other weights than those of seed {seed}")


def _check_finished(folder: Path) -> None:
    record = read_record(folder)
    if record is None:
        raise _LeftOutError(f"no {RECORD} says that its training ended, as in an exported copy")
    if is_busy(record):
        raise _LeftOutError("it is being trained")
    status = record.get("status")
    if status != "finished":
        raise _LeftOutError(f"its training did not end (it is {status}); the same command goes on")


def _known_once(found: list[Trained], left_out: list[tuple[Path, str]]) -> list[Trained]:
    """One training per architecture, kind, recipe and seed."""
    first: dict[Any, Trained] = {}
    for one in found:
        known = first.setdefault((one.space.name, one.arch, one.kind, one.digest, one.seed), one)
        if known is not one:
            left_out.append((one.folder, f"it is the same training as {known.folder}"))
    return list(first.values())


def _check_alike(found: list[Trained]) -> None:
    """Refuse accuracies that do not belong in one column, or one table."""
    first: dict[str, Trained] = {}
    for one in found:
        _refuse_other(first.setdefault("", one), one, "settings")
        _refuse_other(first.setdefault(one.kind, one), one, "own")
        if one.kind != "inherited":
            _refuse_other(first.setdefault("trained", one), one, "recipe")


def _refuse_other(known: Trained, one: Trained, part: str) -> None:
    before, now = getattr(known, part), getattr(one, part)
    differences = [
        f"{name}{_values(before.get(name), now.get(name))}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise ValueError(
            f"{known.folder} and {one.folder} differ in {', '.join(differences)}: their accuracies "
            "cannot be compared; collect them into a file each"
        )


def _values(before: Any, now: Any) -> str:
    text = f" ({before}, {now})"
    return text if len(text) <= _LONGEST else ""


def _table(found: list[Trained]) -> pd.DataFrame:
    import pandas as pd

    groups: dict[tuple[str, str], list[Trained]] = {}
    for one in found:
        groups.setdefault((one.space.name, one.arch), []).append(one)
    kinds = [kind for kind in KINDS if any(one.kind == kind for one in found)]
    frame = pd.DataFrame([_row(group, kinds) for group in groups.values()])
    counts = {name: "Int64" for name in frame if name in _COUNTED or name.endswith("_n")}
    return frame.dropna(axis="columns", how="all").astype(
        {name: kind for name, kind in counts.items() if frame[name].notna().any()}
    )


_COUNTED = ("num_classes", "img_size", "patch_size", "params", "flops", "epochs", "batch_size")


def _row(group: list[Trained], kinds: list[str]) -> dict[str, Any]:
    """One architecture."""
    one = min(group, key=lambda trained: KINDS.index(trained.kind))
    options = dict(one.card.model_options)
    row: dict[str, Any] = {"space": one.space.name, "arch": one.arch}
    for kind in kinds:
        row |= _accuracies(kind, [trained for trained in group if trained.kind == kind])
    recipe = {} if one.kind == "inherited" else one.recipe
    height, width = one.card.img_size
    return row | {
        "data_set": one.card.dataset,
        "num_classes": options["num_classes"],
        "img_size": height if height == width else None,
        "patch_size": options["patch_size"],
        "params": one.space.params(one.arch, **options),
        "flops": one.space.flops(one.arch, **options),
        "teacher": one.card.recipe.get("teacher"),
        **{name: recipe.get(name) for name in _SHOWN},
    }


def _accuracies(kind: str, trained: list[Trained]) -> dict[str, Any]:
    """The columns of one kind."""
    names = ("accuracy", "held_out_accuracy", "n", "sd", "seeds", "recipe")
    values: dict[str, Any] = dict.fromkeys(names)
    if trained:
        accuracies = [float(one.card.accuracy or 0.0) for one in trained]
        held_out = [one.card.held_out_accuracy for one in trained]
        known = [accuracy for accuracy in held_out if accuracy is not None]
        seeds = [str(one.seed) for one in trained if one.seed is not None]
        values |= {
            "accuracy": fmean(accuracies),
            "held_out_accuracy": fmean(known) if len(known) == len(trained) else None,
            "n": len(trained),
            "sd": stdev(accuracies) if len(trained) > 1 else None,
            "seeds": " ".join(seeds) or None,
            "recipe": trained[0].digest,
        }
    return {f"{kind}_{name}": value for name, value in values.items()}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON knows it, which has no tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
