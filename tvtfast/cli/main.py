"""Entry point: find the command, run it, and turn what went wrong into one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from tvtfast.cli.logs import log_shown
from tvtfast.cli.output import CLOSED, Report, give_up_on, is_closed, show, wrapped
from tvtfast.cli.parsing import IMPORT, Parser, UsageError
from tvtfast.common.imports import importing
from tvtfast.common.names import did_you_mean, unknown
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
    "convert": "hand weights to and from other code bases, such as timm and Cream",
    "evaluate": "measure a trained student on a labelled data set",
    "predict": "classify images with a trained student",
    "truth": "collect the accuracies of trained students, for correlate",
    "correlate": "judge proxies by how they rank architectures of known accuracy",
    "calibrate": "learn from a few trained architectures what all others can reach",
    "watch": "show a run while it works, in a browser of this machine",
    "plan": "say what a search or a training will take, before it runs",
    "runs": "list and compare runs; merge and export score stores",
    "info": "show versions, machine, and which backend serves which operator",
}


Tell: TypeAlias = Callable[[str, Exception], object]

_COMPLETE = "--print-completion"
_OPTIONS = {
    "--help": "print this",
    "--version": "print the version",
    f"{_COMPLETE} SHELL": "print what makes bash, zsh or tcsh complete commands and options",
}


def main(argv: Sequence[str] | None = None, tell: Tell | None = None) -> int:
    """Run ``tvtfast``; returns the exit status: 0, 2 for bad input, 130 when interrupted, 143 when
    terminated, 141 when nobody reads the output any more.

    Args:
        argv: The command and its flags; default those of the program.
        tell: Takes the line that says what went wrong, and the error; default shows it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments, _tell if tell is None else tell)
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if is_closed(stream)]
        if not closed:
            raise
        give_up_on(closed)
        return CLOSED


def _run(arguments: list[str], tell: Tell) -> int:
    parser: Parser | None = None
    try:
        with ExitStack() as opened:
            if not arguments or arguments[0].startswith("-"):
                show(Report(_about(arguments), {}), as_json=False)
                return 0
            name, *rest = arguments
            if name not in COMMANDS:
                raise UsageError(unknown("command", name, COMMANDS))
            command = importlib.import_module(f"tvtfast.cli.{name}")
            parser = _complete(command.parser(), name)
            cfg = parser.parse_args(rest)
            opened.enter_context(log_shown(quiet=cfg.quiet))
            opened.enter_context(importing(cfg[IMPORT]))
            report = command.run(cfg, parser)
            if report is not None:
                show(report, as_json=cfg.json)
                if report.failure is not None:
                    raise report.failure
    except SystemExit as end:  # help was asked for
        sys.stdout.flush()
        return int(end.code or 0)
    except KeyboardInterrupt as error:
        if _speaks():
            print(
                "\ntvtfast: interrupted; every score and every finished epoch is kept, run the "
                "same command to continue",
                file=sys.stderr,
            )
        return exit_status(error)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        message = str(error) if parser is None else parser.in_flags(str(error))
        tell(message, error)
        return 2
    return 0


def _speaks() -> bool:
    """Whether this process speaks for all that work together."""
    return os.environ.get("RANK", "0") == "0"


def _tell(message: str, error: Exception) -> None:
    """One line; of several processes the first prints it, and the others hand theirs to
    ``torchrun``, which shows the error of the process that failed first."""
    if _speaks():
        print(f"tvtfast: error: {message}", file=sys.stderr)
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    get_error_handler().record_exception(error)


def _complete(parser: Parser, name: str) -> Parser:
    """A command's parser, with its name and the flags that all have."""
    parser.prog = f"tvtfast {name}"
    parser.add_import_flag()
    parser.add_output_flags()
    return parser


def _about(arguments: list[str]) -> str:
    """What options without a command ask for."""
    given = arguments[0].split("=")[0] if arguments else "--help"
    if given in ("-h", "--help"):
        return _usage()
    if given == "--version":
        from tvtfast import __version__

        return f"tvtfast {__version__}"
    if given == _COMPLETE:
        from tvtfast.cli.completion import completion

        shell = arguments[0].partition("=")[2] or "".join(arguments[1:2])
        parsers = {
            name: _complete(importlib.import_module(f"tvtfast.cli.{name}").parser(), name)
            for name in COMMANDS
        }
        return completion(shell, parsers, COMMANDS)
    known = [option.split()[0] for option in _OPTIONS]
    raise UsageError(
        f"unknown option {given}{did_you_mean(given, known)}; name a command first: "
        "'tvtfast --help' lists them"
    )


def _usage() -> str:
    lines = ["usage: tvtfast COMMAND [options]", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    lines += ["", "options:"]
    lines += [wrapped(f"  {name}  {text}", indent=" " * 6) for name, text in _OPTIONS.items()]
    lines += ["", "examples:", "  tvtfast search", "  tvtfast run --data-set photos/ --budget 6"]
    return "\n".join([*lines, "", "'tvtfast COMMAND --help' lists the options of a command"])
