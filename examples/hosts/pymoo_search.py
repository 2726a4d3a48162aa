"""NSGA-II of pymoo over a space, a generation per call; that of tvtfast beside it."""

import time

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

import tvtfast
from tvtfast.adapters.pymoo import NASProblem

SETTINGS = {"proxies": ("weight_norm",), "constraints": {"params": (1e6, 5e6)}, "img_size": 32}
OPTIONS = {"patch_size": 4, "num_classes": 10}
scorer = tvtfast.Scorer(space="autoformer-tiny", **SETTINGS, **OPTIONS)
problem = NASProblem("autoformer-tiny", scorer, ("weight_norm", "params"))
algorithm = NSGA2(
    pop_size=20,
    sampling=IntegerRandomSampling(),
    crossover=SBX(repair=RoundingRepair()),
    mutation=PM(repair=RoundingRepair()),
)
started = time.perf_counter()
result = minimize(problem, algorithm, ("n_gen", 5), seed=0)
host_seconds = time.perf_counter() - started

started = time.perf_counter()
strategy = tvtfast.strategies.NSGA2(population=20)
own = tvtfast.search("autoformer-tiny", strategy=strategy, trials=100, **SETTINGS, **OPTIONS)
seconds = time.perf_counter() - started

found = problem.architectures(result.X)
print(f"pymoo   front of {len(found)}, norm to {-result.F[:, 0].min():.3f}, {host_seconds:.1f} s")
norm = own.table["weight_norm"][list(own.front)].max()
print(f"tvtfast front of {len(own.front)}, norm to {norm:.3f}, {seconds:.1f} s")
