"""What lies in run folders: listed, compared, and taken out of them."""

from tvtfast.runs.comparing import Comparison, compare
from tvtfast.runs.exporting import export_store
from tvtfast.runs.reading import Run, find_runs, read_run

__all__ = ["Comparison", "Run", "compare", "export_store", "find_runs", "read_run"]
