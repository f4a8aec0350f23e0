"""Predictor: images in, one record each out, in order, batch by batch; neither torch nor a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..artifacts import Artifact
from ..errors import DataError, RecipeError
from .ahead import ahead
from .detector import MIN_FACE, check_faces, make_finder
from .faces import FaceFinder
from .locate import artifact_of_run, default_model
from .reading import read_image
from .records import UNSURE, Face, Record, said, scores
from .sources import Source, as_source, check_several

Array = npt.NDArray[Any]
Opened = tuple[Record, Array | None]


class Predictor:
    """A finished model, asked about the faces on images.

    Args:
        artifact: The model and its card; default: `duchenne.inference.default_model`.
        faces: What finds the faces: "auto" (YuNet where its file is there, else the bundled cascade),
            "yunet", "cascade", "whole" (each image is one face), or a `FaceFinder`.
        min_face: Faces of a smaller width or height in pixels are left out; not by "whole".

    Attributes:
        artifact: The model and its card.
        finder: What finds the faces.

    Several threads may ask it at once. A copy (`pickle`, another process) reads the model's files again.

    Raises:
        RecipeError: There is no such finder.
        RunError: There is no model, or the detector's file is missing or another one.
    """

    def __init__(
        self,
        artifact: Artifact | None = None,
        faces: str | FaceFinder = "auto",
        min_face: int = MIN_FACE,
    ) -> None:
        if not isinstance(artifact, Artifact | None):
            kind = type(artifact).__name__
            raise TypeError(
                f"artifact is an Artifact, not {kind}; Predictor.load(folder) reads a model's folder"
            )
        check_faces(faces, min_face)
        self.artifact = Artifact.load(default_model()) if artifact is None else artifact
        self.finder: FaceFinder = make_finder(faces, min_face, self.artifact.begin)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        threads: int | None = None,
        *,
        faces: str | FaceFinder = "auto",
        min_face: int = MIN_FACE,
    ) -> Predictor:
        """Read an artifact's folder (model.onnx, card.json). Raises as `Artifact.load` and the class."""
        return cls(Artifact.load(folder, threads), faces, min_face)

    @classmethod
    def from_run(
        cls,
        run: Path | str,
        threads: int | None = None,
        *,
        faces: str | FaceFinder = "auto",
        min_face: int = MIN_FACE,
    ) -> Predictor:
        """Read the artifact of a run. Raises RunError where it has none, or as `load`."""
        return cls.load(artifact_of_run(Path(run)), threads, faces=faces, min_face=min_face)

    def predict(
        self,
        images: Iterable[Source | Path | str | bytes | Array | Image.Image],
        batch_size: int = 64,
        views: str = "single",
        *,
        abstain: float = 0.0,
        workers: int | None = None,
    ) -> Iterator[Record]:
        """Yield one record an image, in order, while images are still being read.

        Args:
            images: Paths, encoded files as bytes, uint8 arrays ``(H, W)`` or ``(H, W, 3)`` RGB, images of
                Pillow's (turned upright as files are), or `Source`. Files below 8 pixels a side are refused;
                arrays may have any size.
            batch_size: Faces per call of the net, across images. Only speed and memory depend on it: of an
                image no more is held than its faces in the net's input size. With 1 each image is answered
                before the next one is taken, as a live stream needs it.
            views: A name in `duchenne.artifacts.VIEWS`.
            abstain: Where the best score of a ``single`` output is below it, the label said is "unsure";
                the scores stay.
            workers: Threads that read images and find faces while the net runs; by default as many as this
                process may use, at most 8. A few images a thread are read ahead.

        Raises:
            RecipeError: No such view; a batch size, abstain or workers out of range; abstain of a model that
                has a label "unsure".
            RunError: The net itself fails. What is wrong with an image is said in its record.
        """
        self.check(batch_size, views, abstain, workers)
        check_several(images)
        opened = ahead(self._open, map(as_source, images), 1 if batch_size == 1 else workers)
        return self._stream(opened, batch_size, views, abstain)

    def check(self, batch_size: int, views: str, abstain: float, workers: int | None) -> None:
        """Raise what `predict` raises of these arguments."""
        if batch_size < 1:
            raise RecipeError(f"batch_size must be at least 1, not {batch_size}")
        self.artifact.check_views(views)
        if not 0 <= abstain <= 1:
            raise RecipeError(f"abstain must be a score from 0 to 1, not {abstain}")
        if workers is not None and workers < 1:
            raise RecipeError(f"workers must be at least 1, not {workers}")
        if abstain and (named := [o.name for o in self.artifact.outputs if UNSURE in o.labels]):
            raise RecipeError(
                f"output '{named[0]}' has a label '{UNSURE}', which abstain gives too", "leave abstain out"
            )

    def _stream(
        self, opened: Iterator[Opened], batch_size: int, views: str, abstain: float
    ) -> Iterator[Record]:
        records: list[Record] = []
        crops: list[Array] = []
        for record, found in opened:
            records.append(record)
            crops += [] if found is None else list(found)
            if max(len(crops), len(records)) >= batch_size:
                yield from self._fill(records, crops, batch_size, views, abstain)
                records, crops = [], []
        yield from self._fill(records, crops, batch_size, views, abstain)

    def _open(self, source: Source) -> Opened:
        """A record without outputs yet, and its faces' pixels in the net's input size."""
        record: Record = {"path": source.path, "error": source.error, "note": None, "faces": []}
        if source.data is None:
            return record, None
        try:
            image, record["note"] = read_image(source)
            faces = self.finder.find(image)
            shaped = self.artifact.preprocess.shape([f.crop for f in faces]) if faces else None
        except DataError as error:
            return {**record, "error": error.what}, None
        except OSError as error:
            return {**record, "error": f"{source.path or 'the image'}: {error.strerror or error}"}, None
        for face in faces:
            points = (
                None if face.landmarks is None else np.round(face.landmarks.astype(np.float64), 1).tolist()
            )
            one: Face = {
                "box": list(face.box), "detector_score": face.score, "landmarks": points,
                "labels": {}, "outputs": {},
            }  # fmt: skip
            record["faces"].append(one)
        return record, shaped

    def _fill(
        self, records: list[Record], crops: list[Array], batch_size: int, views: str, abstain: float
    ) -> Iterator[Record]:
        self.artifact.ready()  # what is wrong with the model is said before any record
        if crops:
            probs = self.artifact.predict(np.stack(crops), batch_size, views)
        row = 0
        outputs = self.artifact.outputs
        for record in records:
            for face in record["faces"]:
                face["outputs"] = scores(outputs, probs, row)
                face["labels"] = said(outputs, face["outputs"], abstain)
                row += 1
            yield record
