"""``tvtfast export``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from jsonargparse import ArgumentParser

from tvtfast.cli.options import UsageError
from tvtfast.exporting import export


def parser() -> ArgumentParser:
    """Flags of the command."""
    parser = ArgumentParser(description="Hand a trained student over to other programs.")
    parser.add_argument("--student", type=str, default="", help="student folder")
    parser.add_argument(
        "--output",
        type=str,
        default="",
        help="a file that ends in .onnx, or a folder for safetensors and timm's config.json",
    )
    return parser


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Export, and say how the result is loaded."""
    if not cfg.student or not cfg.output:
        raise UsageError("name both folders: --student runs/student --output model.onnx")
    written = export(cfg.student, cfg.output)
    print(f"written  {written}")
    if written.is_dir() and (Path(written) / "config.json").exists():
        print(
            f"load it  import timm, tvtfast.models; "
            f"timm.create_model('local-dir:{written}', pretrained=True)"
        )
