"""``tvtfast export``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.spaces import ARCH_FORMS

_EXAMPLES = (
    "tvtfast export --student runs/a/student --output student.onnx",
    "tvtfast export --student runs/a/student --output for-timm",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Hand a trained student over to other programs.",
        _EXAMPLES,
    )
    parser.add_argument("--student", type=str, default="", help="student folder")
    parser.add_argument(
        "--from-supernet",
        type=str,
        default="",
        help="superformer folder to cut a student out of, with --arch, in place of --student",
    )
    parser.add_argument("--arch", type=str, default="", help=ARCH_FORMS)
    parser.add_argument(
        "--output",
        type=str,
        default="",
        help="a file that ends in .onnx, or a folder for safetensors and timm's config.json",
    )
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Export, and say how the result is loaded."""
    from tvtfast.distill.subject import read_architecture
    from tvtfast.students import export
    from tvtfast.students.exporting import check_output
    from tvtfast.supernet import extract

    if not cfg.output or bool(cfg.student) == bool(cfg.from_supernet):
        raise UsageError(
            "name both folders: --student runs/student --output model.onnx, or --from-supernet "
            "runs/supernet --arch runs/search/best.json --output student"
        )
    if cfg.from_supernet and not cfg.arch:
        raise UsageError("name the architecture: --arch runs/search/best.json")
    check_output(cfg.output)
    written = export(
        extract(cfg.from_supernet, read_architecture(cfg.arch))
        if cfg.from_supernet
        else cfg.student,
        cfg.output,
    )
    lines = [f"written  {written}"]
    how = None
    if written.is_dir() and (Path(written) / "config.json").exists():
        how = f"timm.create_model('local-dir:{written}', pretrained=True)"
        lines.append(f"load it  import timm, tvtfast.models; {how}")
    return Report("\n".join(lines), {"written": written, "load": how})
