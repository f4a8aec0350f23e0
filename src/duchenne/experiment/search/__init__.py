"""Searches over a recipe's own fields; validation alone decides."""

from .result import Search, Trial
from .search import SearchListener, search

__all__ = ["Search", "SearchListener", "Trial", "search"]
