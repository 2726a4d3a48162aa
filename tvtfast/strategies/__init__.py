"""How a search proposes architectures. Strategies see a space and scores, never a tensor."""

from tvtfast.strategies.base import Budget, Proposals, Strategy, available, get, register
from tvtfast.strategies.random_search import random_search

__all__ = [
    "Budget",
    "Proposals",
    "Strategy",
    "available",
    "get",
    "random_search",
    "register",
]
