"""Searches over a recipe's own fields; validation alone decides."""

from .result import Search, Trial
from .search import search

__all__ = ["Search", "Trial", "search"]
