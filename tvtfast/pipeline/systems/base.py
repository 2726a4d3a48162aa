"""What a system is: one published way from a data set and a budget to a student."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from tvtfast.data import Splits
from tvtfast.pipeline.budget import check_window, within
from tvtfast.pipeline.defaults import Defaults
from tvtfast.pipeline.plan import Plan
from tvtfast.pipeline.stages import Outcome
from tvtfast.report import StageSection, TrainedNetwork
from tvtfast.spaces import Space


class System(ABC):
    """One way from a data set and a budget to a student.

    Attributes:
        name: Its name on the command line.
        summary: What it does, in one line.
        space: Name of the space that is searched unless another is given.
        stages: Folders of its stages, in their order.
        takes: Names of arguments of `tvtfast.pipeline.run` that not every system has a use for.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    space: ClassVar[str]
    stages: ClassVar[tuple[str, ...]]
    takes: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def defaults(self, dataset: str) -> Defaults:
        """What suits a data set by name."""

    def check_space(self, space: Space[Any]) -> None:
        """Refuse a space that the system cannot work on.

        Raises:
            ValueError: The message says which it can.
        """
        del space

    def check_splits(self, splits: Splits) -> None:
        """Refuse images that the system cannot choose by.

        Raises:
            ValueError: Nothing is held out, and candidates are compared by it.
        """
        del splits

    def budget(self, space: Space[Any], wanted: float, **options: Any) -> float:
        """The default budget where the data set's is not possible in a space."""
        return within(space, wanted, **options)

    def check_budget(self, plan: Plan) -> None:
        """Refuse a budget that cannot be met, before anything is trained.

        Raises:
            InfeasibleError: The message says what can be.
        """
        check_window(plan)

    @abstractmethod
    def settings(self, plan: Plan) -> dict[str, Any]:
        """What results depend on beside `Plan.settings`, as plain values."""

    @abstractmethod
    def run(self, plan: Plan) -> Outcome:
        """All stages, in their order."""

    @abstractmethod
    def sections(self, plan: Plan, outcome: Outcome) -> tuple[StageSection, ...]:
        """What the report shows of the stages before the student's training."""

    def extras(self, outcome: Outcome) -> tuple[TrainedNetwork, ...]:
        """Networks of the comparison that this system alone has."""
        del outcome
        return ()
