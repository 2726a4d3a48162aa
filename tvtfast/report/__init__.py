"""Plots and HTML reports of a search, of a family, of a tournament, of a whole run, of two runs and
of a proxy correlation study.

Nothing here knows tvtfast, but for what a cost is and how files are written: reports are made of
pandas and NumPy values. matplotlib is imported by the first figure, never by importing this
package, and pyplot is never touched.
"""

from tvtfast.report.baselines import nothing_beyond_size, size_warning
from tvtfast.report.comparison_report import ComparisonReport, write_comparison_report
from tvtfast.report.content import AttentionPanel, RaceTable, SearchReport
from tvtfast.report.correlation_report import write_correlation_report
from tvtfast.report.cost import cost_facts, forecast_facts
from tvtfast.report.figures.attention import attention_maps_figure
from tvtfast.report.figures.comparison import comparison_figure
from tvtfast.report.figures.confusion import confusion_figure
from tvtfast.report.figures.correlation import correlation_scatter_figure, tau_figure
from tvtfast.report.figures.course import front_figure, trace_figure
from tvtfast.report.figures.growth import growth_figure
from tvtfast.report.figures.search import (
    score_distributions_figure,
    score_vs_params_figure,
    timings_figure,
)
from tvtfast.report.figures.tournament import tournament_figure
from tvtfast.report.figures.training import accuracy_figure, superformer_figure
from tvtfast.report.figures.window_gain import window_gain_figure
from tvtfast.report.formatting import count as count_text
from tvtfast.report.formatting import duration as duration_text
from tvtfast.report.growth_report import GrowthReport, PickedModel, write_growth_report
from tvtfast.report.live.page import LIVE_PAGE, candidate_points, draw_live
from tvtfast.report.live.server import live_server
from tvtfast.report.missing import missing_values
from tvtfast.report.run_content import RunReport, StageSection, TrainedNetwork
from tvtfast.report.run_report import write_run_report
from tvtfast.report.search_report import write_search_report
from tvtfast.report.tournament_content import Entrant, TournamentReport
from tvtfast.report.tournament_report import write_tournament_report

__all__ = [
    "LIVE_PAGE",
    "AttentionPanel",
    "ComparisonReport",
    "Entrant",
    "GrowthReport",
    "PickedModel",
    "RaceTable",
    "RunReport",
    "SearchReport",
    "StageSection",
    "TournamentReport",
    "TrainedNetwork",
    "accuracy_figure",
    "attention_maps_figure",
    "candidate_points",
    "comparison_figure",
    "confusion_figure",
    "correlation_scatter_figure",
    "cost_facts",
    "count_text",
    "draw_live",
    "duration_text",
    "forecast_facts",
    "front_figure",
    "growth_figure",
    "live_server",
    "missing_values",
    "nothing_beyond_size",
    "score_distributions_figure",
    "score_vs_params_figure",
    "size_warning",
    "superformer_figure",
    "tau_figure",
    "timings_figure",
    "tournament_figure",
    "trace_figure",
    "window_gain_figure",
    "write_comparison_report",
    "write_correlation_report",
    "write_growth_report",
    "write_run_report",
    "write_search_report",
    "write_tournament_report",
]
