"""Templates and the figures inside them."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tvtfast.report import formatting
from tvtfast.report.figures.canvas import CSS_PIXELS_PER_INCH, DPI, png
from tvtfast.report.interactive.chart import chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A rendered figure.

    Attributes:
        data: The PNG file.
        width: Width on the page in CSS pixels.
        height: Height on the page in CSS pixels.
        chart: The same figure as `tvtfast.report.interactive.chart.chart` has it; ``None`` where
            it stays a picture.
    """

    data: bytes
    width: int
    height: int
    chart: dict[str, Any] | None = None

    @property
    def src(self) -> str:
        """The PNG as a ``data:`` address."""
        return "data:image/png;base64," + base64.b64encode(self.data).decode("ascii")


def picture(figure: Figure) -> Picture:
    """Render ``figure`` once, for its own file and for the page, where it can be zoomed into; one
    without axes, which says that there is nothing to draw, stays a picture."""
    drawn = photo(figure)
    if not any(axes.axison for axes in figure.axes):
        return drawn
    return replace(drawn, chart=chart(figure))


def photo(figure: Figure) -> Picture:
    """Render ``figure`` once, for its own file and for the page, where it is a picture."""
    width, height = (round(CSS_PIXELS_PER_INCH * inches) for inches in figure.get_size_inches())
    return Picture(png(figure), width, height)


def kept_picture(data: bytes) -> Picture:
    """A figure of before, from its PNG file as `tvtfast.report.figures.canvas.png` writes it.

    Raises:
        ValueError: No PNG file.
    """
    if data[:8] != _PNG or len(data) < 24:
        raise ValueError(f"a file of {len(data)} bytes is no PNG; draw the figure again")
    width, height = struct.unpack(">II", data[16:24])
    scale = CSS_PIXELS_PER_INCH / DPI
    return Picture(data, round(scale * width), round(scale * height))


def render(template: str, **values: Any) -> bytes:
    """Fill ``template``; every value is escaped, a name the template misses raises."""
    environment = Environment(
        loader=PackageLoader("tvtfast.report.templates", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("candidates", "correlation", "count", "duration", "number", "percent"):
        environment.filters[name] = getattr(formatting, name)
    return environment.get_template(template).render(**values).encode("utf-8")
