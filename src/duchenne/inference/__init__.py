"""From images to records, with a finished model and without torch."""

from .detector import FINDERS, MIN_FACE, InUse, detector_in_use, make_finder
from .faces import FaceFinder, FoundFace, WholeImage
from .locate import artifact_of_run, default_model, find_model, newest_run
from .predictor import Predictor
from .records import UNSURE, CsvWriter, Face, JsonLinesWriter, Record, Score, Writer, csv_columns
from .sources import Source, expand
from .video import FrameRecord, TrackedFace, VideoSettings, predict_frames, predict_video
from .videofile import is_video

__all__ = [
    "FINDERS",
    "MIN_FACE",
    "UNSURE",
    "CsvWriter",
    "Face",
    "FaceFinder",
    "FoundFace",
    "FrameRecord",
    "InUse",
    "JsonLinesWriter",
    "Predictor",
    "Record",
    "Score",
    "Source",
    "TrackedFace",
    "VideoSettings",
    "WholeImage",
    "Writer",
    "artifact_of_run",
    "csv_columns",
    "default_model",
    "detector_in_use",
    "expand",
    "find_model",
    "is_video",
    "make_finder",
    "newest_run",
    "predict_frames",
    "predict_video",
]
