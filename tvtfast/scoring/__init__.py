"""Scores of untrained candidates: candidates times proxies in, one table out."""

from tvtfast.scoring.calibration import Calibration, calibrate
from tvtfast.scoring.correlation import correlate
from tvtfast.scoring.default_proxies import default_proxies
from tvtfast.scoring.failures import ScoringError
from tvtfast.scoring.judged import Judgement, SizeRanksBetterWarning, judgement
from tvtfast.scoring.measure import Measure
from tvtfast.scoring.ranking import rank
from tvtfast.scoring.scorer import Scorer, score
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.store import ScoreStore, StoreError
from tvtfast.scoring.table import ScoreTable
from tvtfast.scoring.truth import Truth, load_truth

__all__ = [
    "Calibration",
    "Judgement",
    "Measure",
    "ScoreStore",
    "ScoreTable",
    "Scorer",
    "Scoring",
    "ScoringError",
    "SizeRanksBetterWarning",
    "StoreError",
    "Truth",
    "calibrate",
    "correlate",
    "default_proxies",
    "judgement",
    "load_truth",
    "rank",
    "score",
]
