"""From a data set and a parameter budget to a trained student, in one folder."""

from tvtfast.common.run_folder import RunError
from tvtfast.pipeline.baseline import deit_like
from tvtfast.pipeline.defaults import Defaults
from tvtfast.pipeline.family import train_family
from tvtfast.pipeline.finalists import Finalist, Rungs, TournamentResult, tournament
from tvtfast.pipeline.running import RunResult, run
from tvtfast.pipeline.systems import SYSTEMS, defaults_for

__all__ = [
    "SYSTEMS",
    "Defaults",
    "Finalist",
    "RunError",
    "RunResult",
    "Rungs",
    "TournamentResult",
    "defaults_for",
    "deit_like",
    "run",
    "tournament",
    "train_family",
]
