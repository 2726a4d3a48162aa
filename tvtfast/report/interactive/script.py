"""Plotly's script beside a page."""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from pathlib import Path

from tvtfast.common.callers import caller_level
from tvtfast.common.files import replacing

PLOTLY = "plotly.min.js"
"""The script in a folder of pages. It has 4.8 MB, so no page holds it."""


def link_plotly(folder: Path) -> None:
    """Put the script of Plotly's wheel into a folder, as a link where the file system allows one.

    Where Plotly is not installed this warns, and pages show their figures as pictures.

    Raises:
        OSError: The file cannot be written.
    """
    target = folder / PLOTLY
    if target.exists():
        return
    spec = importlib.util.find_spec("plotly")
    if spec is None or spec.origin is None:
        warnings.warn(
            f"plotly is not installed: figures of the page in {folder} are pictures that do not "
            "zoom; pip install plotly",
            UserWarning,
            stacklevel=caller_level(),
        )
        return
    source = Path(spec.origin).parent / "package_data" / PLOTLY
    with replacing(target) as unfinished:
        try:
            os.link(source, unfinished)
        except OSError:  # another file system
            shutil.copyfile(source, unfinished)
