"""Scores of untrained candidates: candidates times proxies in, one table out."""

from tvtfast.scoring.failures import ScoringError
from tvtfast.scoring.ranking import correlate, rank
from tvtfast.scoring.scorer import Scorer, score
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.store import ScoreStore, StoreError
from tvtfast.scoring.table import ScoreTable

__all__ = [
    "ScoreStore",
    "ScoreTable",
    "Scorer",
    "Scoring",
    "ScoringError",
    "StoreError",
    "correlate",
    "rank",
    "score",
]
