"""Serve the page of a run on this machine."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tvtfast.report.live.page import LIVE_PAGE

HOST = "127.0.0.1"
_SHOWN = {".html", ".js", ".png", ".csv", ".json"}


def live_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a run's page, and of the pages, tables and figures in its folder; of this machine
    alone, and for reading alone. Call its ``serve_forever``.

    Args:
        folder: The run.
        port: Where it listens; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """
    return ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))


class _Handler(SimpleHTTPRequestHandler):
    """What a run shows; neither hidden files nor weights, and no list of files."""

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", f"/{LIVE_PAGE}")
            self.end_headers()
        else:
            super().do_GET()

    def translate_path(self, path: str) -> str:
        found = Path(super().translate_path(path))
        root = Path(self.directory).resolve()
        is_inside = root in found.resolve().parents
        if is_inside and found.suffix in _SHOWN and not found.name.startswith("."):
            return str(found)
        return str(root / ".nothing")

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *arguments: object) -> None:
        """Requests are not worth a line each."""
