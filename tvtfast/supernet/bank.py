"""The weights of a superformer as those that a population inherits."""

from __future__ import annotations

import os

from tvtfast.models import InheritedWeights
from tvtfast.supernet.extraction import cut_out
from tvtfast.supernet.folder import TrainedSuperformer, load_superformer
from tvtfast.supernet.superformer import Superformer


def superformer_weights(
    superformer: Superformer | TrainedSuperformer | str | os.PathLike[str],
) -> InheritedWeights:
    """What ``weights=`` of `tvtfast.score`, `tvtfast.search` and `tvtfast.population.Population`
    takes of a superformer: its candidates with the weights that they inherit, all together.

    Args:
        superformer: A superformer, or its folder.

    Raises:
        ValueError: Candidates of it take other channels than the first ones, or weights that not
            all of them share; `tvtfast.supernet.cut_out` makes a module of one.
    """
    if isinstance(superformer, (str, os.PathLike)):
        superformer = load_superformer(superformer)
    model = superformer.model if isinstance(superformer, TrainedSuperformer) else superformer
    *_, largest = model.space.largest()
    module = cut_out(model, largest)
    held = sum(parameter.numel() for parameter in model.parameters())
    if (
        model.sharing != "ordinal"
        or model.fused_qk
        or held != sum(parameter.numel() for parameter in module.parameters())
    ):
        raise ValueError(
            f"the superformer shares {model.sharing!r} with qkv_mode {model.qkv_mode}, and "
            "populations inherit the first channels of weights that all candidates share; train "
            "one with sharing 'ordinal' and qkv_mode 0, or score modules of "
            "tvtfast.supernet.cut_out"
        )
    return InheritedWeights(module)
