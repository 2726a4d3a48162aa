"""How a search proposes architectures. Strategies see a space and scores, never a tensor."""

from tvtfast.strategies.base import (
    LISTED,
    PLUGINS,
    TRIALS,
    Budget,
    Proposals,
    Strategy,
    Traits,
    available,
    choose,
    configured,
    get,
    name_of,
    register,
    settings_of,
    traits,
)
from tvtfast.strategies.evolution import Evolution
from tvtfast.strategies.exact import exact
from tvtfast.strategies.exhaustive import exhaustive
from tvtfast.strategies.feedback import Column, Scores
from tvtfast.strategies.novelty import Novelty
from tvtfast.strategies.nsga2 import NSGA2
from tvtfast.strategies.random_search import random_search
from tvtfast.strategies.reinforce import Reinforce

__all__ = [
    "LISTED",
    "NSGA2",
    "PLUGINS",
    "TRIALS",
    "Budget",
    "Column",
    "Evolution",
    "Novelty",
    "Proposals",
    "Reinforce",
    "Scores",
    "Strategy",
    "Traits",
    "available",
    "choose",
    "configured",
    "exact",
    "exhaustive",
    "get",
    "name_of",
    "random_search",
    "register",
    "settings_of",
    "traits",
]

PLUGINS.open()
