"""A page with its figures and the script that draws them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tvtfast.report.files import write_files
from tvtfast.report.html import Picture
from tvtfast.report.interactive.script import link_plotly


def write_page(
    folder: str | os.PathLike[str], name: str, page: bytes, pictures: Mapping[str, Picture]
) -> Path:
    """Write a page, last, after its figures as ``<name>.png`` and Plotly's script.

    Args:
        folder: Where to write; made where needed. Earlier files in it are replaced as a whole, or
            kept when writing fails.
        name: Of the page.
        page: What it holds.
        pictures: Figures by name.

    Returns:
        Path of the page.

    Raises:
        FullDiskError: There is no space for one of the files; the message names it.
    """
    files = {f"{figure}.png": shown.data for figure, shown in pictures.items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    if any(shown.chart for shown in pictures.values()):
        link_plotly(Path(folder))
    return write_files(folder, {**files, name: page})
