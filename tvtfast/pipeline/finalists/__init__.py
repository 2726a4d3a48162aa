"""Finalists: the candidates that are trained, in a tournament of successive halving."""

from tvtfast.pipeline.finalists.choosing import Finalist
from tvtfast.pipeline.finalists.result import TournamentResult
from tvtfast.pipeline.finalists.rungs import Rungs
from tvtfast.pipeline.finalists.running import tournament

__all__ = ["Finalist", "Rungs", "TournamentResult", "tournament"]
