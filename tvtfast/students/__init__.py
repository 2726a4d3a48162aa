"""Trained students handed over: exported, converted, asked about images, or collected
as truth."""

from tvtfast.students.collecting import collect_truth
from tvtfast.students.converting import convert
from tvtfast.students.evaluating import Evaluation, evaluate
from tvtfast.students.exporting import export
from tvtfast.students.predicting import predict

__all__ = ["Evaluation", "collect_truth", "convert", "evaluate", "export", "predict"]
