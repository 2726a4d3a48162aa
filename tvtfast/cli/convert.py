"""``tvtfast convert``."""

from __future__ import annotations

from argparse import Namespace

from tvtfast.cli.choices import CODE_BASES
from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.spaces import ARCH_FORMS, available

_OWN = "tvtfast"
_EXAMPLES = (
    "tvtfast convert --checkpoint tiny.pth --arch autoformer-t --output student",
    "tvtfast convert --student runs/a/student --to timm --output vit.safetensors",
)


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Make a student of a checkpoint of another code base, or the other way round.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--checkpoint", type=str, default="", help="weights of another code base, with --arch"
    )
    parser.add_argument("--student", type=str, default="", help="student folder")
    parser.add_argument(
        "--rename",
        type=str | None,
        default=None,
        help=f"whose names the checkpoint has: {', '.join(CODE_BASES)}; default found out",
    )
    parser.add_argument("--arch", type=str, default="", help=ARCH_FORMS)
    parser.add_argument(
        "--space", type=str | None, default=None, help="default that of the architecture"
    )
    parser.add_argument(
        "--img-size", type=int | None, default=None, help="side in pixels; default 224"
    )
    parser.add_argument(
        "--to", type=str, default=_OWN, help=f"{_OWN}, {', '.join(CODE_BASES)}; default {_OWN}"
    )
    parser.add_argument(
        "--output",
        type=str,
        default="",
        help="a student folder, or for another code base a file: .safetensors or .pth",
    )
    parser.choices |= {
        "rename": CODE_BASES,
        "to": (_OWN, *CODE_BASES),
        "space": available(),
    }
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Convert, and say what was written."""
    from tvtfast.spaces import read_architecture
    from tvtfast.students import convert

    if not cfg.output or bool(cfg.student) == bool(cfg.checkpoint):
        raise UsageError(
            "name both ends: --checkpoint weights.pth --arch autoformer-t --output student, or "
            "--student runs/student --to timm --output weights.safetensors"
        )
    if cfg.student:
        convert(cfg.student, cfg.output, to=cfg.to)
    else:
        if not cfg.arch:
            raise UsageError("name what the weights are of: --arch autoformer-t")
        written = read_architecture(cfg.arch)
        side = cfg.img_size or written.model_options.get("img_size")
        options = {} if side is None else {"img_size": side}
        convert(
            cfg.checkpoint,
            cfg.output,
            to=cfg.to,
            arch=written.arch,
            space=cfg.space or written.space,
            rename=cfg.rename,
            **options,
        )
    return Report(f"written  {cfg.output}", {"written": cfg.output, "to": cfg.to})
