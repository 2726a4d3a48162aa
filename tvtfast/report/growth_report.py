"""The figure of a family as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tvtfast.report.figures.canvas import png
from tvtfast.report.figures.growth import growth_figure
from tvtfast.report.files import write_files

if TYPE_CHECKING:
    import pandas as pd


def write_growth_figure(
    models: pd.DataFrame, higher_is_better: Mapping[str, bool], path: Path
) -> Path:
    """Write `growth_figure` as PNG; all of it or nothing."""
    return write_files(path.parent, {path.name: png(growth_figure(models, higher_is_better))})
