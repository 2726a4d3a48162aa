"""Forecasts of what commands take: a small run of the command itself, extrapolated."""

from tvtfast.pipeline.forecasts.searches import forecast_search
from tvtfast.pipeline.forecasts.trainings import forecast_training

__all__ = ["forecast_search", "forecast_training"]
