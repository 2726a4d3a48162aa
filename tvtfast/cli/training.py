"""Flags that training commands share, and what they resolve to."""

from __future__ import annotations

import csv
from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from tvtfast.cli.choices import DATA_SETS
from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.teachers import given_teacher, say
from tvtfast.cli.trackers import add_tracker_options
from tvtfast.common.run_folder import CommandFolder
from tvtfast.data import SEARCH_SPLIT
from tvtfast.data.placed import AUGMENTATIONS
from tvtfast.distill import Distillation, ProgressiveTokens, digits_teacher
from tvtfast.models import Teacher
from tvtfast.training.guide import GUIDANCE, LOGITS
from tvtfast.training.losses import SCHEDULES
from tvtfast.training.processes import announces
from tvtfast.training.recipe import DTYPES, OPTIMIZERS, Recipe
from tvtfast.training.recipes import RECIPES, recipe_of
from tvtfast.training.training_folder import LOG

NONE = "none"
"""On the command line, for no guidance and for no logits."""

_FLAGS = tuple(
    field.name for field in fields(Recipe) if field.name not in ("warmup_share", "tokens")
)
"""Fields of a recipe that are flags."""


def add_data_options(parser: Parser) -> None:
    """Configuration file, data set and output folder."""
    parser.add_argument("--cfg", action="config", help="YAML file of these options")
    parser.add_argument(
        "--output-dir",
        type=str | None,
        default=None,
        help="folder that is written; the same command continues a training that was stopped",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data-set",
        "--dataset",
        type=str,
        default="digits",
        help="name of a data set, folder of images, or .npz file",
    )
    parser.choices["data_set"] = DATA_SETS
    data.add_argument("--data-path", type=str | None, default=None, help="folder of the data set")
    add_search_split_option(data)
    data.add_argument(
        "--loading-workers",
        type=int,
        default=0,
        help="processes that load images; changes no result",
    )


def add_search_split_option(group: Any) -> None:
    """Which images are held out of those trained on."""
    group.add_argument(
        "--search-split",
        type=float,
        default=SEARCH_SPLIT,
        help="share of the training images that epochs and candidates are chosen by, where the "
        "data set has no validation split; 0 trains on all and keeps the last epoch",
    )


def add_guidance_options(parser: Parser) -> None:
    """How the teacher takes part: what `distillation` reads."""
    group = parser.add_argument_group("distillation")
    group.add_argument("--guidance", type=str, default="linear", help=", ".join((*GUIDANCE, NONE)))
    group.add_argument("--guidance-weight", type=float, default=2.5)
    group.add_argument(
        "--guidance-schedule", type=str, default="constant", help=", ".join(SCHEDULES)
    )
    group.add_argument(
        "--pairs",
        type=list[tuple[int, int]] | None,
        default=None,
        help="student blocks and teacher stages, such as [[0,0],[6,1],[11,2]]; default spread "
        "evenly",
    )
    group.add_argument("--logits", type=str, default=NONE, help=", ".join((*LOGITS, NONE)))
    parser.choices |= {
        "guidance": (*GUIDANCE, NONE),
        "guidance_schedule": tuple(SCHEDULES),
        "logits": (*LOGITS, NONE),
    }
    group.add_argument("--logits-weight", type=float, default=0.5)
    group.add_argument("--temperature", type=float, default=1.0)
    group.add_argument(
        "--offline",
        type=bool,
        default=False,
        help="compute the teacher's features once, and crop them with the image",
    )
    group.add_argument(
        "--paper",
        type=bool,
        default=False,
        help="let the teacher's batch statistics drift, as the published code does",
    )


def distillation(cfg: Namespace) -> Distillation:
    """How the teacher takes part in training, from the shared flags."""
    return Distillation(
        guidance=None if cfg.guidance == NONE else cfg.guidance,
        guidance_weight=cfg.guidance_weight,
        guidance_schedule=cfg.guidance_schedule,
        pairs=None if cfg.pairs is None else tuple((b, s) for b, s in cfg.pairs),
        logits=None if cfg.logits == NONE else cfg.logits,
        logits_weight=cfg.logits_weight,
        temperature=cfg.temperature,
        offline=cfg.offline,
        paper=cfg.paper,
    )


def add_recipe_options(parser: Parser, recipe: Recipe) -> None:
    """Hyperparameters, with the defaults of a recipe: what `training_arguments` reads."""
    training = parser.add_argument_group("training")
    training.add_argument(
        "--recipe",
        type=str | None,
        default=None,
        help=f"{', '.join(RECIPES)}: published values in place of the defaults here; single flags "
        "win over them",
    )
    training.add_argument(
        "--print-recipe",
        action="store_true",
        help="print the whole recipe, for --cfg, and do nothing else",
    )
    training.add_argument("--epochs", type=int, default=recipe.epochs)
    training.add_argument(
        "--batch-size", type=int, default=recipe.batch_size, help="images per step and process"
    )
    training.add_argument(
        "--accumulate", type=int, default=recipe.accumulate, help="parts of a step, for less memory"
    )
    training.add_argument(
        "--optimizer",
        type=str,
        default=recipe.optimizer,
        help=f"{', '.join(OPTIMIZERS)}, or another of timm",
    )
    training.add_argument("--lr", type=float, default=recipe.lr, help="learning rate")
    training.add_argument("--min-lr", type=float, default=recipe.min_lr, help="at the end")
    training.add_argument(
        "--warmup-epochs",
        type=int | None,
        default=recipe.warmup_epochs,
        help=f"null: {recipe.warmup_share:.1%} of all epochs".replace("%", "%%"),
    )
    training.add_argument(
        "--momentum", type=float, default=recipe.momentum, help="of sgd and others that have one"
    )
    training.add_argument("--weight-decay", type=float, default=recipe.weight_decay)
    training.add_argument(
        "--decay-all", type=bool, default=recipe.decay_all, help="decay biases and norms, too"
    )
    training.add_argument(
        "--layer-decay",
        type=float | None,
        default=recipe.layer_decay,
        help="factor of the learning rate from a layer to the one before it",
    )
    training.add_argument("--label-smoothing", type=float, default=recipe.label_smoothing)
    training.add_argument(
        "--clip-grad", type=float | None, default=recipe.clip_grad, help="largest gradient norm"
    )
    training.add_argument(
        "--ema", type=float | None, default=recipe.ema, help="decay of an average of the weights"
    )
    training.add_argument(
        "--drop-path",
        type=float | None,
        default=recipe.drop_path,
        help="stochastic depth of the last block; null: the architecture's",
    )
    training.add_argument(
        "--augmentation", type=str, default=recipe.augmentation, help=", ".join(AUGMENTATIONS)
    )
    training.add_argument(
        "--rand-augment",
        type=int,
        default=recipe.rand_augment,
        help="magnitude of RandAugment in strong, 0 to 10",
    )
    training.add_argument(
        "--random-erasing",
        type=float,
        default=recipe.random_erasing,
        help="share of images that lose a rectangle, in strong and weak",
    )
    training.add_argument(
        "--repeats",
        type=int,
        default=recipe.repeats,
        help="repeated augmentation: times that an image is in its steps",
    )
    training.add_argument(
        "--mixup", type=float, default=recipe.mixup, help="alpha of mixup; 0 for none"
    )
    training.add_argument(
        "--cutmix", type=float, default=recipe.cutmix, help="alpha of CutMix; 0 for none"
    )
    training.add_argument("--dtype", type=str, default=recipe.dtype, help=", ".join(DTYPES))
    training.add_argument(
        "--compile",
        type=bool,
        default=recipe.compile,
        help="compile with torch.compile; without teacher",
    )
    training.add_argument(
        "--channels-last",
        type=bool,
        default=recipe.channels_last,
        help="hold images and convolutions with channels last in memory",
    )
    parser.choices |= {
        "augmentation": AUGMENTATIONS,
        "dtype": tuple(DTYPES),
        "recipe": tuple(RECIPES),
    }
    parser.preset = _preset
    training.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn")
    training.add_argument(
        "--device", type=str | None, default=None, help="default the GPU, else CPU"
    )
    training.add_argument(
        "--keep-state",
        type=bool,
        default=False,
        help="keep last.pt when the training has ended, so that it can go on to more epochs",
    )
    add_tracker_options(training)


def _preset(cfg: Namespace) -> dict[str, Any]:
    """Flags of the recipe that is named."""
    if cfg.recipe is None:
        return {}
    recipe = recipe_of(cfg.recipe)
    return {name: getattr(recipe, name) for name in _FLAGS}


def _recipe(cfg: Namespace, default: Recipe) -> Recipe:
    """The recipe of the flags."""
    base = default if cfg.recipe is None else recipe_of(cfg.recipe)
    return replace(base, **{name: getattr(cfg, name) for name in _FLAGS})


def recipe_report(cfg: Namespace, default: Recipe) -> Report:
    """All values of the recipe of the flags, as ``--cfg`` takes them."""
    recipe = _recipe(cfg, default)
    flags = {name: getattr(recipe, name) for name in _FLAGS} | {"warmup_epochs": recipe.warmup}
    return Report(yaml.safe_dump(flags, sort_keys=False).rstrip(), flags)


def add_progressive_option(parser: Any) -> None:
    """Coarse tokens first: what `progressive_tokens` reads."""
    parser.add_argument(
        "--progressive-tokens",
        metavar="TOKENS",
        type=bool | list[tuple[float, int]],
        default=False,
        help="train As-ViT on coarse tokens first: true for every second pixel in half of the "
        "epochs, or shares of the epochs and dilations, such as [[0,4],[0.25,2],[0.5,1]]",
    )


def progressive_tokens(cfg: Namespace) -> ProgressiveTokens | None:
    """Phases of training from the flag; ``None`` for all tokens in every epoch."""
    given = cfg.progressive_tokens
    if isinstance(given, bool):
        return ProgressiveTokens() if given else None
    return ProgressiveTokens(tuple(given))


def training_arguments(cfg: Namespace, recipe: Recipe, folder: CommandFolder) -> dict[str, Any]:
    """Keyword arguments of all training functions from the shared flags."""
    return {
        "recipe": _recipe(cfg, recipe),
        "output_dir": folder,
        "data_path": cfg.data_path,
        "search_split": cfg.search_split,
        "workers": cfg.loading_workers,
        "seed": cfg.seed,
        "device": cfg.device,
        "tensorboard": cfg.tensorboard,
        "wandb": cfg.wandb,
        "keep_state": cfg.keep_state,
        "progress": not cfg.quiet,
    }


def epochs_in(folder: Path) -> int:
    """How many epochs a finished training took."""
    with open(folder / LOG, encoding="utf-8", newline="") as text:
        return len(list(csv.DictReader(text)))


def accuracies(card: Any) -> str:
    """What the card of a student, teacher or superformer says of accuracy, in words."""
    said = f"{card.accuracy:.2f} % of the test images"
    if card.held_out_accuracy is None:
        return f"{said}; nothing was held out, the last epoch is kept"
    return f"{said}, {card.held_out_accuracy:.2f} % of those held out"


def chosen_teacher(cfg: Namespace, how: Distillation) -> Teacher | None:
    """The teacher of the flags, where one takes part; digits has its own."""
    if not how.needs_teacher:
        if cfg.teacher is not None or cfg.teacher_checkpoint is not None:
            raise UsageError(
                f"--teacher is given, and with --guidance {NONE} --logits {NONE} nothing asks it; "
                f"give one of them, or leave the teacher out"
            )
        return None
    given = given_teacher(cfg)
    if given is None and cfg.data_set == "digits":
        given = digits_teacher(progress=announces() and not cfg.quiet)
        say(given)
    return given
