"""A figure of matplotlib as Plotly draws it: the same panels, axes, colours and names.

A figure is described once, to matplotlib. What is read back from it are the kinds of artists that
the figures of this package use; any other is an error, so that no page shows less than its picture.
Margins are those of the picture in CSS pixels, so a figure of one column fits any width.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tvtfast.report.figures.canvas import CSS_PIXELS_PER_INCH, SMALL, TITLE
from tvtfast.report.interactive.axes import axis_layout, pixels
from tvtfast.report.interactive.marks import panel_marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOCS: tuple[Literal["left"], Literal["center"]] = ("left", "center")


def chart(figure: Figure) -> dict[str, Any]:
    """What a page gives to Plotly, ready for JSON.

    Args:
        figure: Drawn before, so that its layout is settled. It has panels, which are made of lines,
            points, bars, areas, spans and text.

    Returns:
        ``data`` and ``layout`` as `Plotly's reference <https://plotly.com/javascript/reference/>`_
        has them, with colours of the page by name (``--ink``); ``height`` and ``min_width`` in CSS
        pixels; and ``left_out``, the number of points that only the picture has.

    Raises:
        TypeError: The figure holds something else, such as an image.
    """
    if any(axes.images for axes in figure.axes):
        raise TypeError("a figure with images is a picture, it has no chart")
    panels = [axes for axes in figure.axes if axes.axison]
    width, height = (CSS_PIXELS_PER_INCH * inches for inches in figure.get_size_inches())
    boxes = np.array([axes.get_position().extents for axes in panels])
    (left, bottom), (right, top) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    layout: dict[str, Any] = {
        "margin": {
            "l": round(left * width),
            "r": round((1 - right) * width),
            "t": round((1 - top) * height),
            "b": round(bottom * height),
        },
        "annotations": [],
        "shapes": [],
        "showlegend": False,
    }
    data: list[dict[str, Any]] = []
    left_out = 0
    for number, axes in enumerate(panels, start=1):
        x0, y0, x1, y1 = axes.get_position().extents
        across = [(x0 - left) / (right - left), (x1 - left) / (right - left)]
        up = [(y0 - bottom) / (top - bottom), (y1 - bottom) / (top - bottom)]
        x, y = _axis("x", number), _axis("y", number)
        for which, axis, domain, anchor in (("x", axes.xaxis, across, y), ("y", axes.yaxis, up, x)):
            own = axis_layout(axis, which, domain, anchor)
            layout[_axis(f"{which}axis", number)] = own | _shared(panels, number, which)
        marks = panel_marks(axes, x, y)
        data += marks.traces
        left_out += marks.left_out
        layout["shapes"] += marks.shapes
        layout["annotations"] += [*_title(axes, x, y), *marks.annotations]
        layout["showlegend"] |= axes.get_legend() is not None
    layout["annotations"] += _common_label(figure, layout["margin"])
    columns = len(set(boxes[:, 0].round(3)))
    return {
        "data": data,
        "layout": layout,
        "height": round(height),
        "min_width": 0 if columns == 1 else round(width),
        "left_out": left_out,
    }


def _axis(which: str, number: int) -> str:
    """Plotly's name of an axis; the first has no number."""
    return which if number == 1 else f"{which}{number}"


def _shared(panels: list[Axes], number: int, which: str) -> dict[str, str]:
    """Panels whose axes are one zoom together."""
    axes = panels[number - 1]
    group = axes.get_shared_x_axes() if which == "x" else axes.get_shared_y_axes()
    first = next(
        place for place, other in enumerate(panels, 1) if other is axes or group.joined(axes, other)
    )
    return {} if first == number else {"matches": _axis(which, first)}


def _title(axes: Axes, x: str, y: str) -> list[dict[str, Any]]:
    """The heading of a panel; those at the left are bold in this package."""
    at_left, in_the_middle = (html.escape(axes.get_title(loc=loc), quote=False) for loc in _LOCS)
    if not at_left and not in_the_middle:
        return []
    return [
        {
            "text": f"<b>{at_left}</b>" if at_left else in_the_middle,
            "showarrow": False,
            "xref": f"{x} domain",
            "yref": f"{y} domain",
            "x": 0 if at_left else 0.5,
            "y": 1,
            "xanchor": "left" if at_left else "center",
            "yanchor": "bottom",
            "font": {"size": pixels(TITLE if at_left else SMALL)},
        }
    ]


def _common_label(figure: Figure, margin: Mapping[str, int]) -> list[dict[str, Any]]:
    text = figure.get_supxlabel()
    if not text:
        return []
    return [
        {
            "text": html.escape(text, quote=False),
            "showarrow": False,
            "xref": "paper",
            "yref": "paper",
            "x": 0.5,
            "y": 0,
            "yanchor": "bottom",
            "yshift": -margin["b"],
        }
    ]
