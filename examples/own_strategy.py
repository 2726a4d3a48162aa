"""Plug a search strategy and a proxy of your own into the search loop."""

import tvtfast
from tvtfast.proxies import Proxy
from tvtfast.strategies import Budget


def hill_climbing(space, budget: Budget):
    """Mutate the best architecture found so far, one at a time."""
    scores = yield space.sample(1, budget.seed, budget.constraints, **budget.options)
    for step in range(1, budget.trials):
        (best,) = scores.best(1)
        child = space.mutate(best, budget.seed + step, prob=0.4)
        if space.satisfies(child, budget.constraints, **budget.options):
            scores = yield [child]


thrift = Proxy(
    "norm_per_parameter",
    lambda inputs: float(tvtfast.proxies.weight_norm(inputs.module)) / inputs.params,
    needs=frozenset({"weights"}),
    description="weight norm that a parameter buys",
)
result = tvtfast.search(
    "pit",
    strategy=hill_climbing,
    trials=12,
    proxies=[thrift],
    method=lambda frame: frame["norm_per_parameter"],
    constraints={"params": (1e6, 8e6)},
    img_size=32,
    patch_size=4,
)
print(result.space.encode(result.best))
print(result.table.to_pandas().drop(columns="arch"))
