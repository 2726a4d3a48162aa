"""Flags of those who keep curves elsewhere."""

from __future__ import annotations

from typing import Any


def add_tracker_options(parser: Any) -> None:
    """``--tensorboard`` and ``--wandb``."""
    parser.add_argument(
        "--tensorboard", type=bool, default=False, help="write TensorBoard's event files, too"
    )
    parser.add_argument(
        "--wandb",
        metavar="PROJECT",
        type=str | None,
        default=None,
        help="keep the curves in this project of Weights & Biases, too; WANDB_MODE=offline keeps "
        "them on this machine",
    )
