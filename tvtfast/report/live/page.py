"""The page of a run that works, in a folder of its own inside the run folder.

``live/index.html`` is written once and ``live/data.js`` again and again, each at once. The page
asks for the data by a script of its own folder, which browsers allow for files on disk, so it needs
no server, and what the reader has zoomed into or picked stays. Plotly's script lies in the run
folder, whose report draws by it, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tvtfast.common.files import replacing
from tvtfast.report.html import render
from tvtfast.report.interactive.script import link_plotly

FOLDER = "live"
PAGE, DATA = "index.html", "data.js"
LIVE_PAGE = f"{FOLDER}/{PAGE}"
"""The page, from the run folder on."""
POINTS = 5000
"""Candidates of a picture; of more, the best and the latest are shown, and the page says so."""


def draw_live(folder: Path, record: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    """Draw a run.

    Args:
        folder: Its folder.
        record: What its ``run.json`` says.
        shown: ``works``: what is under way, with ``what, unit, done, total, text, seconds,
            remaining``; ``log``: lines; and what there is of ``candidates`` (see
            `candidate_points`), ``rungs`` (``images, candidates`` of each rung of a race), and
            ``curves``: by name, ``x, y`` and what is on the axes, ``x_axis, y_axis``.

    Raises:
        OSError: Files cannot be written.
    """
    live = folder / FOLDER
    live.mkdir(exist_ok=True)
    _write_once(live / PAGE, render("live.html.j2", title=_title(folder, record)))
    link_plotly(folder)
    text = json.dumps(_finite(_content(folder, record, shown)), allow_nan=False)
    with replacing(live / DATA) as target:
        # "</" would end a script where somebody puts the file into a page
        target.write_text(f"tvtfastLive({text.replace('</', '<' + chr(92) + '/')});\n", "utf-8")


def candidate_points(
    params: Sequence[float],
    scores: Sequence[float],
    states: Sequence[str],
    archs: Sequence[str],
    name: str,
) -> dict[str, Any]:
    """Candidates as the page shows them.

    Args:
        params: Parameters of each.
        scores: Score of each; those without a finite one are left out and counted.
        states: ``scored``; of a race ``racing``, or ``out``.
        archs: The architecture, as text.
        name: What the score is called.

    Returns:
        ``params, scores, states, archs`` of at most `POINTS`; ``name``; ``seen``, how many there
        are; and ``without``, how many have no score.
    """
    sound = [row for row, score in enumerate(scores) if math.isfinite(score)]
    kept = sound
    if len(sound) > POINTS:
        best = sorted(sound, key=lambda row: -scores[row])[: POINTS // 2]
        kept = sorted({*best, *sound[-(POINTS - len(best)) :]})
    return {
        "params": [params[row] for row in kept],
        "scores": [scores[row] for row in kept],
        "states": [states[row] for row in kept],
        "archs": [archs[row] for row in kept],
        "name": name,
        "seen": len(scores),
        "without": len(scores) - len(sound),
    }


def _title(folder: Path, record: Mapping[str, Any]) -> str:
    return f"{record.get('command', 'run')}: {folder.name}"


def _content(folder: Path, record: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    reports = [name for name in ("report.html",) if (folder / name).is_file()]
    return {
        "status": record["status"],
        "error": record.get("error"),
        "started": record["started"],
        "heartbeat": record["heartbeat"],
        "process": record["process"],
        "settings": {name: _plain(value) for name, value in record["settings"].items()},
        "cost": record["cost"],
        "report": f"../{reports[0]}" if reports else None,
        "parts": [
            {
                "name": path.parents[1].relative_to(folder).as_posix(),
                "page": f"../{path.relative_to(folder).as_posix()}",
            }
            for depth in ("*", "*/*")
            for path in sorted(folder.glob(f"{depth}/{LIVE_PAGE}"))
        ],
        **shown,
    }


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not finite is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value


def _write_once(path: Path, content: bytes) -> None:
    with suppress(OSError):
        if path.read_bytes() == content:
            return
    with replacing(path) as target:
        target.write_bytes(content)
