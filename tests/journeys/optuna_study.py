import optuna

import tvtfast
from tvtfast.adapters import optuna as adapter

optuna.logging.set_verbosity(optuna.logging.WARNING)
space = tvtfast.spaces.get("pit")
scorer = tvtfast.Scorer(space=space, proxies=("weight_norm",), img_size=32, patch_size=4)
study = optuna.create_study(
    direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True)
)
for _ in range(3):
    trials, archs = adapter.ask(study, space, 8)  # a population per call
    adapter.tell(study, trials, scorer(archs)["weight_norm"])
best = space.from_choices(study.best_params)
print(f"{len(study.trials)} trials, best {study.best_value:.1f}: {space.encode(best)}")
