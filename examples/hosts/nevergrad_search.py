"""An optimizer of nevergrad over a space, a population per call; evolution of tvtfast beside it."""

import time

import nevergrad as ng

import tvtfast
from tvtfast.adapters import nevergrad

SPACE = tvtfast.spaces.get("pit")
WINDOW = {"params": (None, 8e6)}
OPTIONS = {"img_size": 32, "patch_size": 4, "num_classes": 10}
scorer = tvtfast.Scorer(space=SPACE, proxies=("weight_norm",), **OPTIONS)
parametrization = nevergrad.parametrization(SPACE)
parametrization.random_state.seed(0)
optimizer = ng.optimizers.PortfolioDiscreteOnePlusOne(parametrization, budget=80, num_workers=10)

started = time.perf_counter()
best = -float("inf")
for _ in range(8):
    candidates = [optimizer.ask() for _ in range(10)]
    archs = [SPACE.from_choices(candidate.value) for candidate in candidates]
    for candidate, arch, norm in zip(candidates, archs, scorer(archs)["weight_norm"], strict=True):
        inside = SPACE.satisfies(arch, WINDOW, **OPTIONS)
        best = max(best, norm) if inside else best
        optimizer.tell(candidate, -norm if inside else 0.0)
host_seconds = time.perf_counter() - started

started = time.perf_counter()
settings = {"proxies": ("weight_norm",), "constraints": WINDOW, "trials": 80, **OPTIONS}
own = tvtfast.search(SPACE, strategy="evolution", **settings)
seconds = time.perf_counter() - started
print(f"nevergrad {best:.3f} in {host_seconds:.1f} s")
print(f"tvtfast   {own.table['weight_norm'][own.best_row]:.3f} in {seconds:.1f} s")
