"""A study of Optuna over a space, a population per call; random draws of tvtfast beside it."""

import time

import optuna as host

import tvtfast
from tvtfast.adapters import optuna

SPACE = tvtfast.spaces.get("pit")
OPTIONS = {"img_size": 32, "patch_size": 4, "num_classes": 10}
host.logging.set_verbosity(host.logging.WARNING)
scorer = tvtfast.Scorer(space=SPACE, proxies=("weight_norm",), **OPTIONS)
sampler = host.samplers.TPESampler(seed=0, constant_liar=True)
study = host.create_study(direction="maximize", sampler=sampler)
started = time.perf_counter()
for _ in range(4):
    trials, archs = optuna.ask(study, SPACE, 10)
    optuna.tell(study, trials, scorer(archs)["weight_norm"])
host_seconds = time.perf_counter() - started

started = time.perf_counter()
drawn = scorer(SPACE.sample(40, seed=0))["weight_norm"]
seconds = time.perf_counter() - started

best = SPACE.from_choices(study.best_params)
print(f"Optuna  {study.best_value:.3f} in {host_seconds:.1f} s: {SPACE.encode(best)}")
print(f"tvtfast {drawn.max():.3f} in {seconds:.1f} s, 40 random draws in one call")
