"""The combined score of TVT.

The published code computes both parts and never joins them; min-max scaling over the population and
adding is the rule its helpers suggest. `tvtfast.rank` offers others.
"""

from tvtfast.proxies.base import CombinedProxy, register
from tvtfast.proxies.teacher_aware import TEACHER_AWARE
from tvtfast.proxies.weight_norm import WEIGHT_NORM

TVT = register(
    CombinedProxy(
        "tvt",
        (TEACHER_AWARE.name, WEIGHT_NORM.name),
        description="teacher_aware and weight_norm, min-max scaled over the population and added",
    )
)
