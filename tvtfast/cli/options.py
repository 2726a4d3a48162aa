"""Flags that several commands share, and what they resolve to."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast import spaces
from tvtfast.cli.choices import (
    CODE_BASES,
    DATA_SETS,
    DTYPES,
    METHODS,
    PROTOCOLS,
    PROXY_GROUPS,
    proxy_names,
)
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.cli.superformers import INHERITED, inherited_accuracy
from tvtfast.cli.teachers import add_teacher_options, given_teacher, say

if TYPE_CHECKING:
    from tvtfast.data import FrozenBatch, VisionDataset
    from tvtfast.models import InheritedWeights, Teacher
    from tvtfast.proxies import CombinedProxy, Proxy
    from tvtfast.scoring import Scoring

_TVT = ("teacher_aware", "weight_norm")
_OF_SPACE = {"asvit": ("length_distortion", "ntk_condition"), "pit": ("weight_norm",)}
"""As `tvtfast.scoring.default_proxies` has it, but for As-ViT's own."""
_TINY = (4.0, 7.0)
_MILLION = 1e6
_GIGA = 1e9


def add_scoring_options(parser: Parser, space: str = "autoformer-tiny") -> None:
    """Space, data, teacher, proxies: what `scoring_arguments` reads once it is settled
    (`tvtfast.cli.superformers.settle`).

    Args:
        parser: The command's.
        space: What ``--space`` is where it is not given, in words.
    """
    parser.add_argument("--cfg", action="config", help="YAML file of these options")
    parser.add_argument(
        "--space",
        type=str | None,
        default=None,
        help=f"{', '.join(spaces.available())}; default {space}",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data-set",
        "--dataset",
        type=str | None,
        default=None,
        help="name of a data set, folder of images, .npz file, or saved batch (.safetensors); "
        "default digits",
    )
    data.add_argument("--data-path", type=str | None, default=None, help="folder of the data set")
    data.add_argument(
        "--batch-size",
        type=int | None,
        default=None,
        help="images in the frozen batch; default 32, or all of a smaller set",
    )
    data.add_argument(
        "--img-size", type=int | None, default=None, help="side in pixels; default the data set's"
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--patch-size",
        type=int | None,
        default=None,
        help="side in pixels; default 16, or an eighth of images below 112 pixels",
    )
    model.add_argument(
        "--num-classes", type=int | None, default=None, help="default the data set's"
    )
    model.add_argument("--distilled", type=bool, default=False, help="add a distillation token")
    scores = parser.add_argument_group("scores")
    add_teacher_options(scores, "digits trains its own")
    proxies = proxy_names()
    scores.add_argument(
        "--proxies",
        type=str,
        nargs="+",
        default=[],
        help=f"{', '.join(proxies)}; or a group of them: {', '.join(PROXY_GROUPS)}; options stand "
        "behind the name, ntk_condition:method=samples; default "
        f"{' '.join(_TVT)}, "
        + ", ".join(f"{' '.join(own)} in {space}" for space, own in _OF_SPACE.items()),
    )
    scores.add_argument("--seed", type=int, default=0, help="seed of images, draws and weights")
    scores.add_argument("--init-seeds", type=int, default=1, help="weight draws per candidate")
    scores.add_argument("--dtype", type=str, default="float32", help=", ".join(DTYPES))
    scores.add_argument("--device", type=str | None, default=None, help="default the GPU, else CPU")
    scores.add_argument("--protocol", type=str, default="fixed", help=", ".join(PROTOCOLS))
    add_workers_option(scores, "score")
    parser.choices |= {
        "space": spaces.available(),
        "data_set": DATA_SETS,
        "proxies": (*proxies, *PROXY_GROUPS),
        "dtype": DTYPES,
        "protocol": PROTOCOLS,
    }


def add_workers_option(group: Any, does: str) -> None:
    """Who works, where it is not this process alone.

    Args:
        group: Parser or group of flags.
        does: What the workers do.
    """
    group.add_argument(
        "--workers",
        type=int | str | None,
        default=None,
        help=f"{does} in so many processes; ray: in a cluster of Ray that runs, or is begun on "
        "this machine; ray://HOST:PORT; no result depends on how many",
    )


def add_weights_options(parser: Parser) -> None:
    """Trained weights that candidates inherit."""
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--weights",
        type=str | None,
        default=None,
        help="checkpoint of a supernet, superformer or student folder: candidates inherit slices "
        "of it, in place of drawn weights; patches and classes are its own",
    )
    group.add_argument(
        "--rename",
        type=str | None,
        default=None,
        help=f"whose names it has: {', '.join(CODE_BASES)}; default found out",
    )
    parser.choices["rename"] = CODE_BASES


def _inherited(cfg: Namespace) -> InheritedWeights | None:
    """What ``--weights`` names."""
    given, rename = getattr(cfg, "weights", None), getattr(cfg, "rename", None)
    if given is None:
        if rename is not None:
            raise UsageError("--rename is for weights; name them: --weights supernet.pth")
        return None
    from tvtfast.models import InheritedWeights
    from tvtfast.supernet import superformer_weights
    from tvtfast.supernet.folder import CARD

    path = Path(given).expanduser()
    if (path / CARD).is_file():
        return superformer_weights(path)
    return InheritedWeights(path, rename)


def choose_proxies(cfg: Namespace) -> None:
    """Name the proxies that suit the space, where no flag names any, and the members of groups."""
    from tvtfast.proxies import expand_groups

    cfg.proxies = list(expand_groups(cfg.proxies or _OF_SPACE.get(cfg.space, _TVT)))


def add_rank_option(parser: Parser) -> None:
    """How proxies are combined."""
    parser.add_argument("--method", type=str, default="minmax_sum", help=", ".join(METHODS))
    parser.choices["method"] = METHODS


def add_window_options(parser: Parser) -> None:
    """Windows on parameters, FLOPs and scores: what `constraints` reads."""
    window = parser.add_argument_group("constraints")
    window.add_argument(
        "--min-param-limits", type=float | None, default=None, help="parameters, in millions"
    )
    window.add_argument(
        "--param-limits",
        type=float | None,
        default=None,
        help="parameters, in millions; without any limit, 4 to 7 in autoformer-tiny",
    )
    window.add_argument(
        "--round-param-limits",
        type=bool,
        default=False,
        help="compare parameters in millions, rounded, as TVT's code does: 4 to 9 holds 3.5 M to "
        "9.49 M",
    )
    add_flops_limits(window)
    window.add_argument(
        "--min-published-flops-limits",
        type=float | None,
        default=None,
        help="in 1e9 of ViTAS' released counter, the unit of its budgets; spaces of vitas-deit",
    )
    window.add_argument(
        "--published-flops-limits", type=float | None, default=None, help="the same above"
    )
    window.add_argument(
        "--min-score-limits",
        type=dict[str, float],
        default={},
        help="of any score, such as --min-score-limits.throughput 500, in images per second",
    )
    window.add_argument(
        "--score-limits",
        type=dict[str, float],
        default={},
        help="of any score from above: latency:8 (milliseconds of 8 images), peak_memory:8 (bytes)",
    )


def add_flops_limits(group: Any, what: str = "", note: str = "") -> None:
    """Windows on FLOPs and multiply-adds: what `flops_windows` reads.

    Args:
        group: Parser or group of flags.
        what: What they are of, where that is not every architecture.
        note: What else the help of ``--flops-limits`` says.
    """
    group.add_argument(
        "--min-flops-limits",
        type=float | None,
        default=None,
        help=f"{what}in GFLOPs, two per multiply-add",
    )
    group.add_argument(
        "--flops-limits",
        type=float | None,
        default=None,
        help=f"{what}in GFLOPs, two per multiply-add{note}",
    )
    group.add_argument(
        "--min-macs-limits",
        type=float | None,
        default=None,
        help=f"{what}in GMACs: 1e9 multiply-adds, the FLOPs of most papers",
    )
    group.add_argument(
        "--macs-limits", type=float | None, default=None, help=f"{what}in GMACs, the same above"
    )


def flops_windows(cfg: Namespace) -> dict[str, tuple[float | None, float | None]]:
    """The windows of `add_flops_limits`, in FLOPs and multiply-adds."""
    windows = {
        "flops": _scaled((cfg.min_flops_limits, cfg.flops_limits), _GIGA),
        "macs": _scaled((cfg.min_macs_limits, cfg.macs_limits), _GIGA),
    }
    return {name: window for name, window in windows.items() if window != (None, None)}


def choose_window(cfg: Namespace) -> None:
    """Limit the parameters of ``autoformer-tiny``, where no flag limits anything."""
    if spaces.get(cfg.space).name == "autoformer-tiny" and not constraints(cfg):
        cfg.min_param_limits, cfg.param_limits = _TINY


def constraints(cfg: Namespace) -> dict[str, tuple[float | None, float | None]]:
    """The windows of the flags, in parameters, FLOPs and units of the scores."""
    low, high = cfg.min_score_limits, cfg.score_limits
    counts = sorted({*spaces.COUNTS} & {*low, *high})
    if counts:
        raise UsageError(
            f"--score-limits of {', '.join(counts)}: give --param-limits, --flops-limits, "
            "--macs-limits and --published-flops-limits"
        )
    windows = {
        **{name: (low.get(name), high.get(name)) for name in (*low, *high)},
        "params": spaces.rounded_millions(cfg.min_param_limits, cfg.param_limits)
        if cfg.round_param_limits
        else _scaled((cfg.min_param_limits, cfg.param_limits), _MILLION),
        spaces.PUBLISHED: _scaled(
            (cfg.min_published_flops_limits, cfg.published_flops_limits), _GIGA
        ),
    }
    return {
        name: window for name, window in windows.items() if window != (None, None)
    } | flops_windows(cfg)


def plain_scoring(cfg: Namespace) -> Scoring:
    """The shared flags as settings, without images and teacher: refused where they name nothing or
    nothing possible, before anything is loaded."""
    from tvtfast import proxies
    from tvtfast.common.machine import as_device
    from tvtfast.scoring import Scoring

    _refuse_torchrun()
    by_name = [name for name in cfg.proxies if proxies.made_later(name) is None]
    for name in by_name:
        proxies.get(name)
    as_device(cfg.device)
    options = {
        name: getattr(cfg, name)
        for name in ("img_size", "patch_size", "num_classes", "distilled")
        if getattr(cfg, name) is not None
    }
    if "img_size" in options:
        side = options["img_size"]
        patch = cfg.patch_size or spaces.default_patch_size(side)
        spaces.get(cfg.space).check_options(**options | {"patch_size": patch})
    return Scoring(
        space=cfg.space,
        proxies=cfg.proxies,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        init_seeds=cfg.init_seeds,
        dtype=cfg.dtype,
        device=cfg.device,
        protocol=cfg.protocol,
        executor=cfg.workers,
        model_options=options,
    )


def _refuse_torchrun() -> None:
    """Every process of ``torchrun`` would score everything, and write the same folder."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise UsageError(
            f"torchrun began {processes} processes, and each would score all candidates; leave it "
            f"out, and share the work by --workers {processes}"
        )


def scoring_arguments(
    cfg: Namespace, *, progress: bool, windows: spaces.Constraints | None = None
) -> dict[str, Any]:
    """Keyword arguments of `tvtfast.score` and `tvtfast.search` from the shared flags.

    Args:
        cfg: The flags.
        progress: Show how far the work is.
        windows: Constraints that some architecture must be inside, before a teacher is trained.
    """
    plain_scoring(cfg)
    from tvtfast.data import VisionDataset
    from tvtfast.searching.checking import check_feasible

    weights = _inherited(cfg)
    fixed = {} if weights is None else weights.options
    images = _images(cfg)
    chosen = [_proxy(cfg, name) for name in cfg.proxies]
    side = cfg.img_size
    if side is None:
        side = images.img_size if isinstance(images, VisionDataset) else images.images.shape[-1]
    patch = fixed.get("patch_size") if cfg.patch_size is None else cfg.patch_size
    patch = spaces.default_patch_size(side) if patch is None else patch
    classes = cfg.num_classes or fixed.get("num_classes") or images.num_classes
    distilled = cfg.distilled or fixed.get("distilled", False)
    options = {"img_size": side, "patch_size": patch, "distilled": distilled}
    options |= {} if classes is None else {"num_classes": classes}
    spaces.get(cfg.space).check_options(**options)
    check_feasible(spaces.get(cfg.space), windows, cfg.seed, **options)
    arguments = {
        "proxies": chosen,
        "images": images,
        "batch_size": cfg.batch_size,
        "teacher": _teacher(cfg, images, chosen, progress),
        "seed": cfg.seed,
        "init_seeds": cfg.init_seeds,
        "dtype": cfg.dtype,
        "device": cfg.device,
        "protocol": cfg.protocol,
        "executor": cfg.workers,
        "progress": progress,
        "img_size": side,
        "patch_size": patch,
        "distilled": distilled,
    }
    if weights is not None:
        arguments["weights"] = weights
    if cfg.num_classes is not None:
        arguments["num_classes"] = cfg.num_classes
    return arguments


def _proxy(cfg: Namespace, name: str) -> str | Proxy | CombinedProxy:
    """A name, or the proxy where the name has an argument or ``--supernet`` stands for it."""
    from tvtfast import proxies

    head, _, folder = name.partition(":")
    if head == INHERITED and "supernet" in cfg and (folder or cfg.supernet):
        return inherited_accuracy(cfg, folder or cfg.supernet)
    return proxies.get(name) if ":" in name else name


def _images(cfg: Namespace) -> VisionDataset | FrozenBatch:
    from tvtfast.data import FrozenBatch, load_dataset

    if Path(cfg.data_set).suffix == ".safetensors":
        return FrozenBatch.load(cfg.data_set)
    return load_dataset(cfg.data_set, cfg.data_path)


def _teacher(
    cfg: Namespace,
    images: VisionDataset | FrozenBatch,
    chosen: list[str | Proxy | CombinedProxy],
    progress: bool,
) -> Teacher | None:
    from tvtfast import proxies
    from tvtfast.data import VisionDataset
    from tvtfast.distill import digits_teacher

    given = given_teacher(cfg)
    if given is not None:
        return given
    single, _ = proxies.resolve(chosen)
    if not any("teacher" in proxy.needs for proxy in single):
        return None
    name = images.name if isinstance(images, VisionDataset) else images.dataset
    if name == "digits":
        teacher = digits_teacher(progress=progress)
        say(teacher)
        return teacher
    raise UsageError(
        f"--proxies {' '.join(cfg.proxies)} needs a teacher for {name}; give --teacher with a "
        "teacher folder, a checkpoint of a CIFAR ResNet or a torchvision model, or the name of a "
        "model (with --teacher-checkpoint)"
    )


def _scaled(
    window: tuple[float | None, float | None], unit: float
) -> tuple[float | None, float | None]:
    low, high = window
    return None if low is None else low * unit, None if high is None else high * unit
