"""Searches: strategies propose, the scorer answers, and a run folder keeps both."""

from tvtfast.searching.loop import search
from tvtfast.searching.result import SearchResult

__all__ = ["SearchResult", "search"]
