"""Axes and units of a figure, as Plotly has them."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

from tvtfast.report.figures.canvas import CSS_PIXELS_PER_INCH, LABEL, SMALL

if TYPE_CHECKING:
    from matplotlib.axis import Axis


def pixels(points: float) -> float:
    """Points of a figure, 1/72 inch, in CSS pixels."""
    return round(points * CSS_PIXELS_PER_INCH / 72, 2)


def axis_layout(axis: Axis, which: str, domain: list[float], anchor: str) -> dict[str, Any]:
    """One axis of a panel.

    Args:
        axis: The axis.
        which: ``x`` or ``y``.
        domain: Where it begins and ends, in parts of the area of all panels.
        anchor: The axis that it stands on.
    """
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import EngFormatter, FixedLocator

    low, high = axis.get_view_interval()
    is_log = axis.get_scale() == "log"
    ticks = axis.get_tick_params()
    has_labels = ticks.get("labelbottom", ticks.get("labelleft", True))
    side = "bottom" if which == "x" else "left"
    found: dict[str, Any] = {
        "domain": [round(end, 5) for end in domain],
        "anchor": anchor,
        "range": [math.log10(low), math.log10(high)] if is_log else [low, high],
        "type": "log" if is_log else "linear",
        "showgrid": bool(ticks.get("gridOn", False)),
        "showline": axis.axes.spines[side].get_visible(),
        "showticklabels": bool(has_labels),
        "zeroline": False,
        "gridcolor": "--line",
        "linecolor": "--quiet",
        "tickfont": {"size": pixels(ticks.get("labelsize", SMALL))},
        "nticks": max(3, len(axis.get_majorticklocs())),
        "title": {"text": html.escape(axis.get_label_text(), quote=False).replace("\n", "<br>")},
    }
    if axis.get_label_text():
        found["title"] |= {"font": {"size": pixels(LABEL)}, "standoff": 6}
    if isinstance(axis.get_major_locator(), (FixedLocator, StrCategoryLocator)):
        places = [float(place) for place in axis.get_majorticklocs()]
        texts = axis.get_major_formatter().format_ticks(places)
        found["tickvals"] = places
        found["ticktext"] = [html.escape(text, quote=False) for text in texts]
    elif isinstance(axis.get_major_formatter(), EngFormatter):
        found["tickformat"] = "~s"
    elif is_log:
        found["exponentformat"], found["dtick"] = "power", "D1" if high < 100 * low else 1
        span = math.log10(high) - math.log10(low)
        if found["dtick"] == 1:
            found["dtick"] = max(1, math.ceil(span / 6))
    return found
