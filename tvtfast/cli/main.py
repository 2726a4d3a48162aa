"""Entry point: find the command, run it, and turn what went wrong into one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from tvtfast.cli.logs import log_shown
from tvtfast.common.signals import exit_status

COMMANDS = {
    "run": "teacher, search, distillation, export and report in one go",
    "search": "find the best architecture of a space without training any",
    "score": "score given architectures",
    "grow": "grow a topology into a family of models without training any",
    "teacher": "train a ConvNet teacher",
    "supernet": "train all candidates of a ViTAS space at once, on shared weights",
    "distill": "train a student, guided by a teacher or plainly",
    "export": "hand a trained student over: safetensors for timm, or ONNX",
    "predict": "classify images with a trained student",
    "correlate": "judge proxies by how they rank architectures of known accuracy",
    "info": "show versions, machine, and which backend serves which operator",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tvtfast``; returns the exit status: 0, 2 for bad input, 130 when interrupted,
    143 when terminated."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    name, *rest = arguments
    if name == "--version":
        from tvtfast import __version__

        print(f"tvtfast {__version__}")
        return 0
    if name not in COMMANDS:
        print(f"tvtfast: unknown command {name!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"tvtfast.cli.{name}")
    parser = command.parser()
    parser.prog = f"tvtfast {name}"
    try:
        with log_shown():
            command.run(parser.parse_args(rest), parser)
    except KeyboardInterrupt as error:
        print(
            "\ntvtfast: interrupted; every score and every finished epoch is kept, run the same "
            "command to continue",
            file=sys.stderr,
        )
        return exit_status(error)
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"tvtfast: error: {error}", file=sys.stderr)
        return 2
    return 0


def _usage() -> str:
    lines = ["usage: tvtfast COMMAND [options]", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "'tvtfast COMMAND --help' lists the options of a command"])
