"""Where units of work run: processes of this machine, or a cluster of Ray."""

from tvtfast.scoring.executors.base import Executor, Outcome, Unit
from tvtfast.scoring.executors.choice import at_work, check_executor, chosen
from tvtfast.scoring.executors.parcel import ExecutorError
from tvtfast.scoring.executors.processes import Processes

__all__ = [
    "Executor",
    "ExecutorError",
    "Outcome",
    "Processes",
    "Unit",
    "at_work",
    "check_executor",
    "chosen",
]
