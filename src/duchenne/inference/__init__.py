"""From images to records, with a finished model and without torch."""

from .locate import artifact_of_run, find_model, newest_run
from .predictor import FaceFinder, FoundFace, Predictor, WholeImage
from .records import CsvWriter, Face, JsonLinesWriter, Record, Score, Writer, csv_columns
from .sources import Source, expand

__all__ = [
    "CsvWriter",
    "Face",
    "FaceFinder",
    "FoundFace",
    "JsonLinesWriter",
    "Predictor",
    "Record",
    "Score",
    "Source",
    "WholeImage",
    "Writer",
    "artifact_of_run",
    "csv_columns",
    "expand",
    "find_model",
    "newest_run",
]
