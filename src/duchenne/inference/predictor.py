"""Predictor: images in, one record each out, in order, batch by batch; neither torch nor a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..artifacts import VIEWS, Artifact
from ..datasets.decode import decode_image
from ..datasets.files import MIN_SIDE
from ..errors import DataError, RecipeError, did_you_mean
from .locate import artifact_of_run
from .records import Record, scores
from .sources import Source, as_source

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face on an image.

    Attributes:
        box: x, y, width, height in pixels of the image.
        score: The detector's confidence in [0, 1]; None where none was asked.
        crop: The face's pixels, uint8 ``(H, W)`` or ``(H, W, 3)`` RGB, cut (and aligned) as the finder does.
    """

    box: tuple[int, int, int, int]
    score: float | None
    crop: Array


class FaceFinder(Protocol):
    """Finds the faces on an image."""

    def find(self, image: Array) -> list[FoundFace]:
        """Faces on a uint8 image ``(H, W)`` or ``(H, W, 3)`` RGB, in a fixed order; none: an empty list."""
        ...


class WholeImage:
    """The finder for face crops: each image is one face."""

    def find(self, image: Array) -> list[FoundFace]:
        """The image itself, without a score."""
        return [FoundFace((0, 0, image.shape[1], image.shape[0]), None, image)]


class Predictor:
    """A finished model, asked about images.

    Attributes:
        artifact: The model and its card.
        finder: What finds the faces; each image is taken as one face by default.
    """

    def __init__(self, artifact: Artifact, finder: FaceFinder | None = None) -> None:
        self.artifact = artifact
        self.finder: FaceFinder = WholeImage() if finder is None else finder

    @classmethod
    def load(cls, folder: Path | str, threads: int | None = None) -> Predictor:
        """Read an artifact's folder (model.onnx, card.json). Raises as `Artifact.load`."""
        return cls(Artifact.load(folder, threads))

    @classmethod
    def from_run(cls, run: Path | str, threads: int | None = None) -> Predictor:
        """Read the artifact of a run. Raises RunError where it has none, or as `Artifact.load`."""
        return cls.load(artifact_of_run(Path(run)), threads)

    def predict(
        self,
        images: Iterable[Source | Path | str | bytes | Array],
        batch_size: int = 64,
        views: str = "single",
    ) -> Iterator[Record]:
        """Yield one record an image, in order, while images are still being read.

        Args:
            images: Paths, encoded files as bytes, uint8 arrays ``(H, W)`` or ``(H, W, 3)`` RGB, or `Source`.
            batch_size: Faces per call of the net, across images. Only speed and memory depend on it: of an
                image no more is held than its faces in the net's input size.
            views: A name in `duchenne.artifacts.VIEWS`.

        Raises:
            RecipeError: No such view, or a batch size below 1.
            RunError: The net itself fails. What is wrong with an image is said in its record.
        """
        if batch_size < 1:
            raise RecipeError(f"batch_size must be at least 1, not {batch_size}")
        if views not in VIEWS:
            raise RecipeError(f"there is no view '{views}'", did_you_mean(views, VIEWS))
        if isinstance(images, (str, bytes, Path)):
            raise TypeError("predict takes several images; put a single one into a list")
        return self._stream(images, batch_size, views)

    def _stream(
        self, images: Iterable[Source | Path | str | bytes | Array], batch_size: int, views: str
    ) -> Iterator[Record]:
        records: list[Record] = []
        crops: list[Array] = []
        for image in images:
            record, found = self._open(as_source(image))
            records.append(record)
            crops += found
            if max(len(crops), len(records)) >= batch_size:
                yield from self._fill(records, crops, batch_size, views)
                records, crops = [], []
        yield from self._fill(records, crops, batch_size, views)

    def _open(self, source: Source) -> tuple[Record, list[Array]]:
        """A record without outputs yet, and its faces' pixels in the net's input size."""
        record: Record = {"path": source.path, "error": source.error, "faces": []}
        if source.data is None:
            return record, []
        try:
            image = source.data
            if not isinstance(image, np.ndarray):
                image = decode_image(image, name=source.path or "")
                if min(height := image.shape[0], width := image.shape[1]) < MIN_SIDE:  # as in data sets
                    raise DataError(
                        f"{source.path or 'the image'} is too small: {width}x{height}; "
                        f"the least is {MIN_SIDE}x{MIN_SIDE}"
                    )
            elif image.ndim == 3 and image.shape[2] == 1:
                image = image[:, :, 0]
            if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
                raise DataError(f"not an image: {image.dtype} of shape {image.shape}")
            faces = self.finder.find(image)
            shaped = list(self.artifact.preprocess.shape([f.crop for f in faces]))
        except DataError as error:
            return {**record, "error": error.what}, []
        except OSError as error:
            return {**record, "error": error.strerror or str(error)}, []
        for face in faces:
            record["faces"].append({"box": list(face.box), "detector_score": face.score, "outputs": {}})
        return record, shaped

    def _fill(
        self, records: list[Record], crops: list[Array], batch_size: int, views: str
    ) -> Iterator[Record]:
        if crops:
            probs = self.artifact.predict(np.stack(crops), batch_size, views)
        row = 0
        for record in records:
            for face in record["faces"]:
                face["outputs"] = scores(self.artifact.outputs, probs, row)
                row += 1
            yield record
