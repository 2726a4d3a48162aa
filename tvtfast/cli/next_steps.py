"""The commands that go on from what a command made, complete and quoted for a shell."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from tvtfast.cli.superformers import INHERITED, superformer_folder
from tvtfast.common.imports import import_words

_WINDOW = ("min_flops_limits", "flops_limits", "min_macs_limits", "macs_limits")
_TEACHER = ("teacher", "teacher_checkpoint", "teacher_pretrained")


def search_superformer(cfg: Namespace, folder: Path) -> str:
    """Search a superformer inside the window that it was trained for; all else is in its folder."""
    named = ["tvtfast", "search", "--supernet", str(folder), "--proxies", INHERITED]
    return shlex.join([*named, *_given(cfg, (*_WINDOW, "device")), *import_words()])


def train_winner(cfg: Namespace, folder: Path, *, taught: bool) -> str | None:
    """Train the winner of a search; ``None`` where it was searched on a saved batch.

    Args:
        cfg: Flags of the search.
        folder: Its run folder.
        taught: Whether a teacher took part in it.
    """
    from tvtfast.cli.training import NONE

    if Path(cfg.data_set).suffix == ".safetensors":
        return None
    named = ["tvtfast", "distill", "--arch", str(folder / "best.json")]
    names = ("data_set", "data_path", *(_TEACHER if taught else ()), "device")
    plain = [] if taught else ["--guidance", NONE]
    return shlex.join([*named, *_given(cfg, names), *plain, *import_words()])


def cut_out_winner(cfg: Namespace, folder: Path) -> str | None:
    """Cut the winner of a search out of its superformer; ``None`` without one."""
    superformer = superformer_folder(cfg)
    if superformer is None:
        return None
    named = ["tvtfast", "export", "--from-supernet", superformer]
    arch = ["--arch", str(folder / "best.json"), "--output", str(folder / "inherited")]
    return shlex.join([*named, *arch, *import_words()])


def _given(cfg: Namespace, names: Iterable[str]) -> list[str]:
    """Flags that have a value."""
    words = []
    for name in names:
        value = getattr(cfg, name)
        if value not in (None, False):
            text = "true" if value is True else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return words
