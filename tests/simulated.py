"""An executor whose workers live in this process, end when they are told to, and answer in any
order."""

from __future__ import annotations

import random

from tvtfast.scoring.executors import Executor
from tvtfast.scoring.executors.base import Begun, Ended, Raised, Returned
from tvtfast.scoring.executors.parcel import pack, unpack, versions


class Simulated(Executor):
    """Workers of this process that finish in a random order, and end when they are told to.

    Args:
        workers: How many.
        seed: Of the order.
        deaths: Numbers of handed out units, in the order of that, whose worker ends.
    """

    def __init__(self, workers, seed=0, deaths=(), found=None):
        super().__init__(workers)
        self.random, self.deaths, self.given = random.Random(seed), set(deaths), 0
        self.found, self.contexts, self.most = found or versions(), 0, 0

    def start(self):
        return SimulatedWorker(self)

    def events(self, workers):
        self.most = max(self.most, len(workers))
        worker = self.random.choice(workers)
        return [(worker, worker.event())]


class Together(Simulated):
    """Simulated workers that are all ready when they are asked."""

    def events(self, workers):
        return [(worker, worker.event()) for worker in workers]


class SimulatedWorker:
    def __init__(self, executor):
        self.executor, self.begun, self.context, self.ended = executor, False, None, False

    def give(self, context, unit):
        if self.context is None or self.context[0] is not context:
            self.executor.contexts += 1
            self.context = context, unpack(context.packed)
        self.unit, self.number = unit, self.executor.given
        self.executor.given += 1

    def event(self):
        if not self.begun:
            self.begun = True
            return Begun(self.executor.found)
        if self.number in self.executor.deaths:
            return Ended("it was told to")
        try:
            return Returned(pack(unpack(self.unit).run(self.context[1])))
        except Exception as error:
            return Raised(error)

    def end(self):
        self.ended = True
