"""``tvtfast watch``."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from pathlib import Path

from tvtfast.cli.output import Report
from tvtfast.cli.parsing import Parser, UsageError
from tvtfast.common import checks
from tvtfast.common.progress import note
from tvtfast.common.run_folder import RECORD

_EXAMPLES = ("tvtfast watch runs/digits-autoformer-tiny-seed0", "tvtfast watch runs/a --port 8080")


def parser() -> Parser:
    """Flags of the command."""
    parser = Parser(
        "Show a run while it works: serve the page of its folder on this machine, for reading, "
        "until Ctrl-C.",
        _EXAMPLES,
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument("--port", type=int, default=0, help="default a free one")
    return parser


def run(cfg: Namespace, parser: Parser) -> Report:
    """Serve the page until somebody ends it."""
    from tvtfast.report import LIVE_PAGE, live_server

    checks.whole("port", cfg.port, least=0, most=65_535)
    folder = Path(cfg.run)
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder}; give a run folder, as 'tvtfast runs' lists them"
        )
    if not (folder / RECORD).is_file():
        raise UsageError(f"{folder} holds no run ({RECORD} is not there); give a run folder")
    if not (folder / LIVE_PAGE).is_file():
        raise UsageError(
            f"{folder} has no page of its work ({LIVE_PAGE}): runs of a few seconds and of earlier "
            "versions have none, and a run that has just begun has it in a moment"
        )
    try:
        server = live_server(folder, cfg.port)
    except OSError as error:
        raise UsageError(
            f"port {cfg.port} cannot be used ({error.strerror}); leave --port out"
        ) from error
    with server:
        host, port = server.server_address[:2]
        note(f"http://{host!s}:{port} shows {folder}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return Report("", {"run_dir": folder})
