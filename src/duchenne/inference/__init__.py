"""From images to records, with a finished model and without torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Public name -> module of this room; imported on first use, for a command needs few of them.
_PUBLIC = {
    "CsvWriter": "records",
    "FINDERS": "detector",
    "Face": "records",
    "FaceFinder": "faces",
    "FoundFace": "faces",
    "FrameRecord": "video",
    "InUse": "detector",
    "JsonLinesWriter": "records",
    "MIN_FACE": "detector",
    "Predictor": "predictor",
    "Record": "records",
    "Score": "records",
    "Source": "sources",
    "TrackedFace": "video",
    "UNSURE": "records",
    "VideoSettings": "video",
    "WholeImage": "faces",
    "Writer": "records",
    "artifact_of_run": "locate",
    "csv_columns": "records",
    "default_model": "locate",
    "detector_in_use": "detector",
    "expand": "sources",
    "find_model": "locate",
    "is_video": "videofile",
    "make_finder": "detector",
    "newest_run": "locate",
    "predict_frames": "video",
    "predict_video": "video",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
