"""What stands inside a panel of a figure, as Plotly has it."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvtfast.report.figures.canvas import GRID, INK, MUTED, labels_of
from tvtfast.report.interactive.axes import pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stubs of matplotlib leave out many of the accessors that artists have, so artists are Any here.

POINTS = 5000
"""Points of one series; of more, evenly many are drawn, and the page says so."""

_THEME = {INK: "--ink", MUTED: "--quiet", GRID: "--line", "#ffffff": "--page"}
"""Colours that follow the page, light or dark."""
_SYMBOLS = {"o": "circle", "s": "square", "D": "diamond", "*": "star", ".": "circle", "None": None}
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}


@dataclass
class Marks:
    """What a panel holds: traces, shapes and annotations, and how many points were left out."""

    traces: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0


def panel_marks(axes: Axes, x: str, y: str) -> Marks:
    """Everything in a panel, what lies on top last.

    Args:
        axes: The panel.
        x: Its axes' names.
        y: Its axes' names.

    Raises:
        TypeError: An artist of a kind that is not known here.
    """
    from matplotlib.collections import PathCollection, PolyCollection

    bars = {bar for container in axes.containers for bar in container}
    found = Marks()
    drawn: list[tuple[float, dict[str, Any]]] = []
    for line in axes.lines:
        if line.get_transform() == axes.transData:
            drawn.append((line.get_zorder(), _line(line)))
        else:
            found.shapes.append(_rule(line, axes, x, y))
    for group in axes.collections:
        if isinstance(group, PathCollection):
            trace, left_out = _points(group)
            found.left_out += left_out
        elif isinstance(group, PolyCollection):
            trace = _area(group)
        else:
            raise TypeError(f"a chart has no {type(group).__name__}")
        drawn.append((group.get_zorder(), trace))
    drawn += [(1.0, _bars(container)) for container in axes.containers]
    for patch in axes.patches:
        if patch not in bars:
            found.shapes.append(_span(patch, axes, x, y))
    for _, trace in sorted(drawn, key=lambda entry: entry[0]):
        found.traces.append({**trace, "xaxis": x, "yaxis": y})
    found.annotations += [_text(text, axes, x, y) for text in axes.texts]
    return found


def _line(line: Any) -> dict[str, Any]:
    xs, ys = (np.asarray(values, dtype=float) for values in line.get_data())
    symbol = _SYMBOLS[str(line.get_marker())]
    dash = line.get_linestyle()
    parts = [name for name, there in (("lines", dash != "None"), ("markers", symbol)) if there]
    trace = _named(line) | {
        "type": "scatter",
        "mode": "+".join(parts),
        # a series without points is there for the legend
        "x": _numbers(xs) or [None],
        "y": _numbers(ys) or [None],
    }
    if "lines" in parts:
        trace["line"] = {
            "color": _color(line.get_color()),
            "width": pixels(line.get_linewidth()),
            "dash": _DASHES[str(dash)],
        }
    if symbol:
        # matplotlib draws the marker "." at half its size
        size = line.get_markersize() * (0.5 if line.get_marker() == "." else 1)
        trace["marker"] = {
            "symbol": symbol,
            "size": pixels(size),
            "color": _color(line.get_markerfacecolor()),
            "line": {"color": _color(line.get_markeredgecolor()), "width": 1.2},
        }
    return trace


def _points(group: Any) -> tuple[dict[str, Any], int]:
    places = np.asarray(group.get_offsets(), dtype=float).reshape(-1, 2)
    labels = labels_of(group)
    rows = np.arange(len(places))
    if len(places) > POINTS:
        rows = np.linspace(0, len(places) - 1, POINTS).round().astype(int)
    edges = group.get_edgecolors()
    size = float(np.sqrt(group.get_sizes()[0]))
    marker: dict[str, Any] = {
        "symbol": _symbol(group),
        "size": pixels(size),
        "color": _color(group.get_facecolors()[0]),
        "opacity": round(float(group.get_facecolors()[0][3]), 3),
    }
    if len(edges) and group.get_linewidths()[0]:
        marker["line"] = {"color": _color(edges[0]), "width": pixels(group.get_linewidths()[0])}
    trace = _named(group) | {
        "type": "scatter",
        "mode": "markers",
        "x": _numbers(places[rows, 0]) or [None],
        "y": _numbers(places[rows, 1]) or [None],
        "marker": marker,
    }
    if labels:
        trace["customdata"] = [labels[row] for row in rows]
    return trace, len(places) - len(rows)


def _symbol(group: Any) -> str:
    from matplotlib.markers import MarkerStyle

    vertices = np.asarray(group.get_paths()[0].vertices)
    for name, symbol in _SYMBOLS.items():
        if symbol is None:
            continue
        style = MarkerStyle(name)
        path = np.asarray(style.get_path().transformed(style.get_transform()).vertices)
        if path.shape == vertices.shape and np.allclose(path, vertices):
            return symbol
    raise TypeError(f"a chart has no marker of {len(vertices)} corners")


def _area(group: Any) -> dict[str, Any]:
    corners = np.concatenate([path.vertices for path in group.get_paths()])
    face = group.get_facecolors()[0]
    return _named(group) | {
        "type": "scatter",
        "mode": "lines",
        "x": _numbers(corners[:, 0]),
        "y": _numbers(corners[:, 1]),
        "fill": "toself",
        "hoveron": "fills",
        "fillcolor": _color(face),
        "opacity": round(float(face[3]), 3),
        "line": {"width": 0, "color": _color(face)},
    }


def _bars(container: Any) -> dict[str, Any]:
    boxes = [bar.get_bbox() for bar in container]
    lying = container.orientation == "horizontal"
    starts = [(box.y0, box.y1) if lying else (box.x0, box.x1) for box in boxes]
    lengths = [box.x1 if lying else box.y1 for box in boxes]
    along, across = ("x", "y") if lying else ("y", "x")
    return _named(container) | {
        "type": "bar",
        "orientation": "h" if lying else "v",
        along: _numbers(np.array(lengths)),
        across: _numbers(np.array([(a + b) / 2 for a, b in starts])),
        "width": _numbers(np.array([b - a for a, b in starts])),
        "marker": {"color": _color(container[0].get_facecolor()), "line": {"width": 0}},
    }


def _rule(line: Any, axes: Axes, x: str, y: str) -> dict[str, Any]:
    """A line from one side of the panel to the other."""
    (x0, x1), (y0, y1) = (list(map(float, values)) for values in line.get_data())
    return _placed(line, axes, x, y) | {
        "type": "line",
        "x0": x0,
        "x1": x1,
        "y0": y0,
        "y1": y1,
        "line": {
            "color": _color(line.get_color()),
            "width": pixels(line.get_linewidth()),
            "dash": _DASHES.get(str(line.get_linestyle()), "dash"),
        },
    }


def _span(patch: Any, axes: Axes, x: str, y: str) -> dict[str, Any]:
    corners = patch.get_path().transformed(patch.get_patch_transform()).vertices
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    face = patch.get_facecolor()
    return _placed(patch, axes, x, y) | {
        "type": "rect",
        "layer": "below",
        **{"x0": float(x0), "x1": float(x1), "y0": float(y0), "y1": float(y1)},
        "fillcolor": _color(face),
        "opacity": round(float(face[3]), 3),
        "line": {"width": 0},
    }


def _placed(artist: Any, axes: Axes, x: str, y: str) -> dict[str, str]:
    """What the places of an artist are measured in."""
    given = artist.get_transform()
    if not hasattr(artist, "get_data") and not hasattr(artist, "get_text"):
        given = artist.get_data_transform()
    known: dict[str, Callable[[], Any]] = {
        f"{x}|{y}": lambda: axes.transData,
        f"{x} domain|{y} domain": lambda: axes.transAxes,
        f"{x}|{y} domain": lambda: axes.get_xaxis_transform(which="grid"),
        f"{x} domain|{y}": lambda: axes.get_yaxis_transform(which="grid"),
    }
    for name, transform in known.items():
        if given == transform():
            across, up = name.split("|")
            return {"xref": across, "yref": up}
    raise TypeError(f"a chart has no {type(artist).__name__} in such a place")


def _text(text: Any, axes: Axes, x: str, y: str) -> dict[str, Any]:
    from matplotlib.text import Annotation

    if isinstance(text, Annotation):
        place = {"xref": x, "yref": y}
        at = text.xy
        right, up = (pixels(offset) for offset in text.get_position())
    else:
        place, at, (right, up) = _placed(text, axes, x, y), text.get_position(), (0.0, 0.0)
    return place | {
        "text": html.escape(text.get_text(), quote=False).replace("\n", "<br>"),
        "showarrow": False,
        "x": _annotated(float(at[0]), place["xref"] == x and axes.get_xscale() == "log"),
        "y": _annotated(float(at[1]), place["yref"] == y and axes.get_yscale() == "log"),
        "xshift": right,
        "yshift": up,
        "xanchor": text.get_ha(),
        "yanchor": {"center": "middle", "baseline": "bottom"}.get(text.get_va(), text.get_va()),
        "font": {"size": pixels(text.get_fontsize()), "color": _color(text.get_color())},
    }


def _annotated(value: float, is_log: bool) -> float:
    """Plotly places text on a logarithmic axis by the logarithm, and all else by the value."""
    return math.log10(value) if is_log else value


def _named(artist: Any) -> dict[str, Any]:
    """The name in the legend; artists without one have a label that begins with ``_``."""
    name = str(artist.get_label() or "_")
    if name.startswith("_"):
        return {"showlegend": False}
    return {"name": html.escape(name, quote=False), "showlegend": True}


def _color(given: Any) -> str:
    from matplotlib.colors import to_hex

    found = to_hex(given)
    return _THEME.get(found, found)


def _numbers(values: npt.NDArray[np.float64] | Iterable[float]) -> list[float | None]:
    """Six digits; what is not finite is ``None``, as JSON has no NaN."""
    return [float(f"{one:.6g}") if np.isfinite(one) else None for one in values]
