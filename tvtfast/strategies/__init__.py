"""How a search proposes architectures. Strategies see a space and scores, never a tensor."""

from tvtfast.strategies.base import (
    LISTED,
    Budget,
    Proposals,
    Strategy,
    available,
    choose,
    get,
    register,
)
from tvtfast.strategies.exact import exact
from tvtfast.strategies.exhaustive import exhaustive
from tvtfast.strategies.random_search import random_search

__all__ = [
    "LISTED",
    "Budget",
    "Proposals",
    "Strategy",
    "available",
    "choose",
    "exact",
    "exhaustive",
    "get",
    "random_search",
    "register",
]
