"""Forecasts of what commands take: a small run of the command itself, extrapolated."""

from tvtfast.pipeline.forecasts.elsewhere import search_on, training_on
from tvtfast.pipeline.forecasts.growth import forecast_growth
from tvtfast.pipeline.forecasts.runs import Asked, forecast_run
from tvtfast.pipeline.forecasts.searches import forecast_search, least_trials
from tvtfast.pipeline.forecasts.trainings import forecast_training, short

__all__ = [
    "Asked",
    "forecast_growth",
    "forecast_run",
    "forecast_search",
    "forecast_training",
    "least_trials",
    "search_on",
    "short",
    "training_on",
]
