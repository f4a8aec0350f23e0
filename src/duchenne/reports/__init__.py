"""What people read: figures, a page for a run, comparisons, the results page; from run folders alone."""

from .compare import compare_runs, compare_text
from .page import write_report
from .resultfile import ResultFile, load_result, load_results, write_result
from .results import result_from_runs
from .results_page import render_results_page, write_results_page
from .searched import result_from_search

__all__ = [
    "ResultFile",
    "compare_runs",
    "compare_text",
    "load_result",
    "load_results",
    "render_results_page",
    "result_from_runs",
    "result_from_search",
    "write_report",
    "write_result",
    "write_results_page",
]
