"""Trained students handed over: exported, or asked about images."""

from tvtfast.students.exporting import export
from tvtfast.students.predicting import predict

__all__ = ["export", "predict"]
