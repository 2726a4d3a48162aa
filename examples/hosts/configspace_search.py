"""Configurations of ConfigSpace, and neighbours of the best one, as architectures; counts and times
of tvtfast's own draws and mutations beside them."""

import time

from ConfigSpace.util import get_one_exchange_neighbourhood

import tvtfast
from tvtfast.adapters import configspace

SPACE = tvtfast.spaces.get("autoformer-tiny")
OPTIONS = {"img_size": 32, "patch_size": 4, "num_classes": 10}
scorer = tvtfast.Scorer(space=SPACE, proxies=("weight_norm",), **OPTIONS)


def best_of(archs):
    norms = scorer(archs)["weight_norm"]
    return archs[norms.argmax()], norms.max()


started = time.perf_counter()
made = configspace.configuration_space(SPACE, seed=0)
drawn = made.sample_configuration(40)
by_arch = {SPACE.from_choices(configuration): configuration for configuration in drawn}
best, _ = best_of(list(by_arch))
around = get_one_exchange_neighbourhood(by_arch[best], seed=0)
_, norm = best_of([best, *map(SPACE.from_choices, around)])
host_seconds = time.perf_counter() - started
print(f"ConfigSpace {norm:.3f} in {host_seconds:.1f} s")

started = time.perf_counter()
best, _ = best_of(SPACE.sample(40, seed=0))
_, norm = best_of([best, *(SPACE.mutate(best, seed, prob=0.1) for seed in range(40))])
print(f"tvtfast     {norm:.3f} in {time.perf_counter() - started:.1f} s")
