"""Score a population of untrained ViTs against a teacher, rank it, and keep every score.

Run it twice: the second time nothing is computed.
"""

import tvtfast
from tvtfast.data import frozen_batch

space = tvtfast.spaces.get("autoformer-tiny")
candidates = space.sample(8, seed=0, constraints={"params": (5e6, 7e6)}, img_size=32, patch_size=4)

table = tvtfast.score(
    candidates,
    space=space,
    proxies=("teacher_aware", "weight_norm"),
    teacher=tvtfast.distill.digits_teacher(),
    images=frozen_batch("digits", batch_size=8),
    patch_size=4,
    store="scores.sqlite",
)
scores = tvtfast.rank(table, method="minmax_sum")
print(table.to_pandas().drop(columns="arch").assign(score=scores).round(4))

best = candidates[int(scores.idxmax())]
print("best:", space.encode(best))
model = tvtfast.build(best, space=space, num_classes=10, img_size=32, patch_size=4)
print("built with", sum(p.numel() for p in model.parameters()), "parameters")
