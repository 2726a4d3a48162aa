"""A superformer brings its options along: space, sizes, classes, data set."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast import spaces
from tvtfast.cli.parsing import Parser, UsageError

if TYPE_CHECKING:
    from tvtfast.proxies import Proxy

INHERITED = "inherited_accuracy"
_DATA_SET = "digits"
_SIZES = ("img_size", "patch_size", "num_classes", "distilled")


def add_superformer_options(parser: Parser) -> None:
    """Which superformer candidates inherit from, and by which images they are compared."""
    group = parser.add_argument_group("superformer")
    group.add_argument(
        "--supernet",
        type=str | None,
        default=None,
        help=f"superformer folder, for the proxy {INHERITED} on the images that its training held "
        "out; it brings its space, sizes, classes and data set along",
    )
    group.add_argument(
        "--inherited-images",
        type=int | None,
        default=None,
        help="take so many of these images, classes as even as they can be; default all",
    )
    group.add_argument(
        "--search-split",
        type=float | None,
        default=None,
        help="share that the superformer held out; default, and nothing else, what its folder says",
    )
    group.add_argument(
        "--loading-workers",
        type=int,
        default=0,
        help="processes that read these images; changes no result",
    )


def settle(cfg: Namespace, space: str | None = "autoformer-tiny") -> None:
    """Fill in what a superformer brings along, and the defaults of what nobody gave.

    Args:
        cfg: The flags.
        space: Default of ``--space``; ``None`` where architectures bring theirs along.

    Raises:
        UsageError: A flag that is at odds with the superformer.
        FileNotFoundError: The folder is none of a superformer.
    """
    folder = superformer_folder(cfg)
    if folder is None:
        for flag in ("supernet", "inherited_images", "search_split"):
            if getattr(cfg, flag, None) is not None:
                raise UsageError(
                    f"--{flag.replace('_', '-')} is for --proxies {INHERITED}, which is not among "
                    "the proxies"
                    if cfg.supernet
                    else f"--{flag.replace('_', '-')} needs a superformer; give --supernet FOLDER"
                )
    else:
        _take_along(cfg, folder)
    cfg.space = cfg.space or space
    cfg.data_set = cfg.data_set or _DATA_SET


def inherited_accuracy(cfg: Namespace, folder: str) -> Proxy:
    """The proxy of a superformer folder, with the shared flags."""
    from tvtfast.supernet import InheritedAccuracy, held_out_images, load_superformer

    loaded = load_superformer(Path(folder).expanduser(), device=cfg.device)
    is_batch = Path(cfg.data_set).suffix == ".safetensors"
    where = (None, None) if is_batch else (cfg.data_set, cfg.data_path)
    accuracy = InheritedAccuracy(
        loaded,
        held_out_images(loaded.card, *where),
        count=cfg.inherited_images,
        seed=cfg.seed,
        workers=cfg.loading_workers,
    )
    accuracy.images.say()
    return accuracy.proxy()


def superformer_folder(cfg: Namespace) -> str | None:
    """The superformer folder that the proxies name."""
    named = [name.partition(":")[2] for name in cfg.proxies if name.startswith(f"{INHERITED}:")]
    if INHERITED in cfg.proxies and cfg.supernet:
        named.insert(0, cfg.supernet)
    return next(filter(None, named), None)


def _take_along(cfg: Namespace, folder: str) -> None:
    from tvtfast.supernet.folder import read_superformer_card

    card = read_superformer_card(Path(folder).expanduser()).card
    if cfg.space is not None and not spaces.get(cfg.space).is_within(card.space):
        raise UsageError(
            f"--space is {cfg.space}, and {folder} holds a superformer of space {card.space!r}; "
            f"leave --space out, or give --space {card.space}"
        )
    cfg.space = cfg.space or card.space
    for name in _SIZES:
        _agree(cfg, name, _one(card.model_options[name]), folder)
    if cfg.search_split is not None:
        _agree(cfg, "search_split", card.search_split or 0.0, folder)
    if cfg.data_set is None and card.evaluation is not None:
        cfg.data_set, cfg.data_path = card.evaluation["name"], card.evaluation["path"]
    elif cfg.data_set is None:
        raise UsageError(
            f"{folder} does not say where the images of {card.dataset!r} are; give --data-set and "
            "--data-path"
        )


def _agree(cfg: Namespace, name: str, brought: Any, folder: str) -> None:
    given, flag = getattr(cfg, name), f"--{name.replace('_', '-')}"
    if given not in (None, False, brought):
        raise UsageError(
            f"{flag} is {given}, and that of the superformer in {folder} is {brought}; leave "
            f"{flag} out, or train another superformer"
        )
    setattr(cfg, name, brought)


def _one(value: Any) -> Any:
    """The side of a square."""
    return value[0] if isinstance(value, (list, tuple)) else value
