"""A finished model for use: model.onnx and card.json in one folder, run by onnxruntime alone.

Beside them there may be model.int8.onnx, the same net with 8-bit weights and activations.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError, RecipeError, RunError, did_you_mean
from ..labels import Kind, Output
from ..transforms.preprocess import Preprocess
from .card import Card, replace_file
from .metadata import about_card
from .opening import Opening
from .runtime import runtime, silence
from .views import VIEWS, average_views

MODEL = "model.onnx"
INT8 = "model.int8.onnx"
CARD = "card.json"
INPUT = "images"

PRECISIONS = ("default", "fp32", "int8")
Precision = Literal["default", "fp32", "int8"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def to_probs(logits: Array, kind: Kind, temperature: float = 1.0) -> Floats:
    """Probabilities ``(N, K)`` of logits: softmax over K (``single``) or sigmoids (``multi``).

    The logits are divided by the temperature first. Stable for logits of any finite size.
    """
    z = np.asarray(logits, np.float64) / temperature
    if kind == "single":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        soft: npt.NDArray[np.float64] = e / e.sum(axis=1, keepdims=True)
        return soft.astype(np.float32)
    e = np.exp(-np.abs(z))  # never above 1, so nothing overflows
    p: npt.NDArray[np.float64] = np.where(z >= 0, 1.0, e) / (1.0 + e)
    return p.astype(np.float32)


class Artifact:
    """A model and its card. `Artifact.load` reads a folder.

    Attributes:
        folder: Where it was read from.
        card: See `Card`.
        preprocess: From face crops to the net's input.
        precision: "fp32" or "int8": which of its models answers.

    A copy (`copy`, `pickle`, another process) reads the folder's files again.
    """

    def __init__(
        self,
        folder: Path,
        card: Card,
        preprocess: Preprocess,
        session: Opening,
        precision: Literal["fp32", "int8"] = "fp32",
        threads: int | None = None,
    ) -> None:
        self.folder = folder
        self.card = card
        self.preprocess = preprocess
        self.precision = precision
        self._session = session
        self._threads = threads

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.folder.absolute(), self._threads, self.precision, self.card)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        threads: int | None = None,
        precision: Precision = "default",
        *,
        wait: bool = True,
    ) -> Artifact:
        """Read and check a model's folder.

        Args:
            folder: Holds model.onnx and card.json, and perhaps model.int8.onnx.
            threads: Of one model call; as many as this process may use by default.
            precision: "fp32", "int8", or "default": int8 where the card says that it may stand for the other.
            wait: False: the model is read and opened by `ready` or the first call, which raises what is wrong
                with it; or in a thread, from `begin` on, which a `Predictor` calls at its first search for
                faces. From then until `ready` returns, nothing may write to the environment or fork.

        Raises:
            RunError: A file is missing, cut short or broken, or model and card do not fit each other.
            RecipeError: No such precision, or fewer than one thread.
        """
        if precision not in PRECISIONS:
            raise RecipeError(f"there is no precision '{precision}'", did_you_mean(precision, PRECISIONS))
        folder = Path(folder)
        if threads is not None and threads < 1:
            raise RecipeError(f"threads must be at least 1, not {threads}")
        if not (folder / CARD).is_file() and not (folder / MODEL).is_file():
            raise RunError(
                f"{folder} holds no model ({MODEL} and {CARD})",
                "a finished run has one in its folder 'artifact'; `duchenne train demo` makes a run",
            )
        card = Card.load(folder / CARD)
        try:
            preprocess = Preprocess.from_json(card.preprocess)
        except RecipeError as error:
            raise RunError(f"{folder / CARD}: field 'preprocess': {error.what}", error.todo) from None
        chosen: Literal["fp32", "int8"] = "fp32"
        if precision == "int8" or (precision == "default" and card.int8.get("default", False)):
            chosen = "int8"
        if chosen == "int8" and not card.int8:
            raise RunError(
                f"{folder} holds no int8 model", "`duchenne export RUN --out DIR --int8` makes one"
            )
        path = folder / (INT8 if chosen == "int8" else MODEL)
        # Here, not in the thread: C code that reads the environment while it is written to crashes.
        silence()
        session = Opening(partial(_open, path, card, preprocess, threads))
        if wait:
            session.result()
        return cls(folder, card, preprocess, session, chosen, threads)

    def begin(self) -> None:
        """Have the net opened in a thread, where it is not open yet; returns at once."""
        self._session.begin()

    def ready(self) -> None:
        """Wait until the net is open. Raises as `load` what is wrong with its file."""
        self._session.result()

    @property
    def model_path(self) -> Path:
        """The file of the model that answers."""
        return self.folder / (INT8 if self.precision == "int8" else MODEL)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the model answers."""
        return self.card.outputs

    def logits(self, x: Floats) -> dict[str, Floats]:
        """Run the net on its input.

        Args:
            x: float32 ``(N, c, h, w)``, as the preprocess gives it.

        Returns:
            Output name -> ``(N, K)`` float32.

        Raises:
            DataError: x has another shape or dtype.
            RunError: The net fails or answers values that are not finite.
        """
        wanted = (self.preprocess.input_channels, *self.preprocess.input_size)
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[1:] != wanted:
            raise DataError(f"the net takes float32 {('N', *wanted)}, not {x.dtype} {x.shape}")
        if not len(x):
            return {o.name: np.zeros((0, o.num_classes), np.float32) for o in self.outputs}
        names = [o.name for o in self.outputs]
        session = self._session.result()
        try:
            values = session.run(names, {INPUT: np.ascontiguousarray(x)})
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise RunError(f"{self.model_path} fails: {_first_line(error)}") from None
        done = dict(zip(names, values, strict=True))
        for output in self.outputs:
            value = done[output.name]
            if value.shape != (len(x), output.num_classes) or not np.isfinite(value).all():
                raise RunError(
                    f"{self.model_path}: output '{output.name}' for {len(x)} images, {value.shape}, "
                    "is misshapen or not finite",
                    "train again, with a smaller learning rate where the loss became nan",
                )
        return done

    def check_views(self, views: str) -> None:
        """Raise RecipeError where there are no such views, or the model cannot take them."""
        if views not in VIEWS:
            raise RecipeError(f"there is no view '{views}'", did_you_mean(views, VIEWS))
        if self.preprocess.features is not None and views != "single":
            raise RecipeError(
                f"views '{views}' mirror or crop images, but this model's input are features",
                'take views "single"',
            )

    def probs(self, x: Floats, views: str = "single") -> dict[str, Floats]:
        """Probabilities for the net's input, averaged over views (a name in `VIEWS`).

        Returns:
            Output name -> ``(N, K)`` float32 in [0, 1]; rows sum to 1 where the kind is ``single``.

        Raises:
            RecipeError: As `check_views`.
        """
        self.check_views(views)
        return average_views(self._probs, x, views)

    def predict(
        self, images: Array | Sequence[Array], batch_size: int = 128, views: str = "single"
    ) -> dict[str, Floats]:
        """Probabilities for face crops, preprocessed and run in batches.

        Args:
            images: uint8 ``(N, H, W)`` or ``(N, H, W, 3)``, or a sequence of such single images of any sizes.
            batch_size: Images per call of the net; only speed and memory depend on it.
            views: A name in `VIEWS`.

        Returns:
            Output name -> ``(N, K)`` float32 in [0, 1].
        """
        if batch_size < 1:
            raise RecipeError(f"batch_size must be at least 1, not {batch_size}")
        starts = range(0, len(images), batch_size) or range(1)
        parts = [self.probs(self.preprocess(images[i : i + batch_size]), views) for i in starts]
        return {o.name: np.concatenate([p[o.name] for p in parts]) for o in self.outputs}

    def _probs(self, x: Floats) -> dict[str, Floats]:
        logits = self.logits(x)
        return {
            o.name: to_probs(self._scaled(o.name, logits[o.name]), o.kind, self.card.temperature[o.name])
            for o in self.outputs
        }

    def _scaled(self, name: str, logits: Floats) -> Array:
        """An output's logits after the card's scaling, where it has one."""
        if name not in self.card.scaling:
            return logits
        own = self.card.scaling[name]
        return logits * np.array(own["scale"], np.float64) + np.array(own["shift"], np.float64)


def save_artifact(folder: Path | str, onnx_bytes: bytes, card: Card, int8: bytes | None = None) -> Card:
    """Write model.onnx and card.json, each in one step; return the card with the model's SHA-256.

    The model goes first: a kill between the two leaves a pair that `Artifact.load` refuses.

    Args:
        folder: Gets the files; made where it is not there.
        onnx_bytes: The model.
        card: Its card; of ``int8`` and ``model_sha256`` the digests are filled in here.
        int8: The quantised model; None: there is none, and one that lay there is removed.

    Raises:
        RunError: The folder cannot be written.
    """
    folder = Path(folder)
    card = replace(card, model_sha256=hashlib.sha256(onnx_bytes).hexdigest())
    replace_file(folder / MODEL, onnx_bytes)
    if int8 is None:
        card = replace(card, int8={})
        with suppress(OSError):
            (folder / INT8).unlink()
    else:
        card = replace(card, int8={"default": False, **card.int8, "sha256": hashlib.sha256(int8).hexdigest()})
        replace_file(folder / INT8, int8)
    card.save(folder / CARD)
    return card


def _again(folder: Path, threads: int | None, precision: Precision, card: Card) -> Artifact:
    """A copy of an artifact: its folder, read again; raises RunError where another model lies there now."""
    artifact = Artifact.load(folder, threads, precision)
    if artifact.card != card:
        raise RunError(f"{folder} holds another model than when it was read", "read it again")
    return artifact


def _cpus() -> int:
    """CPUs this process may use: on Linux its affinity, which a container or `taskset` may have narrowed."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def read_model(path: Path, sha256: str) -> bytes:
    """A model file's bytes. Raises RunError where it cannot be read or is not the one of that SHA-256."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise RunError(f"{path} is not a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}", _remake(path)) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(
            f"{path} ({len(content)} bytes) is not the model of its card: it was cut short or replaced",
            _remake(path),
        )
    return content


def _remake(path: Path) -> str:
    """What to do about a model's file that is missing or not the card's."""
    if path.name == INT8:
        return f"copy it and {CARD} again, or `duchenne export RUN --out DIR --int8` makes such a folder"
    return (
        f"copy it and {CARD} again; or `duchenne evaluate RUN` makes a finished run's model, and "
        "`duchenne export RUN --out DIR` a folder like this"
    )


def _open(path: Path, card: Card, preprocess: Preprocess, threads: int | None) -> Any:
    """The session of a checked model file."""
    sha256 = card.int8.get("sha256", "") if path.name == INT8 else card.model_sha256
    session = _session(path, read_model(path, sha256), threads or _cpus())
    _check_signature(path, session, card, preprocess)
    _check_says_the_same(path, session, card)
    return session


def _session(path: Path, content: bytes, threads: int) -> Any:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for work in circles take the CPU from those that read photographs and find faces.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they are raised, and said once
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        raise RunError(f"{path} is no model onnxruntime can read: {_first_line(error)}") from None


def _check_signature(path: Path, session: Any, card: Card, preprocess: Preprocess) -> None:
    """The net takes what the preprocess gives, and answers what the card says."""
    inputs = {i.name: i for i in session.get_inputs()}
    wanted = [preprocess.input_channels, *preprocess.input_size]
    one = inputs.get(INPUT)
    if len(inputs) != 1 or one is None or one.type != "tensor(float)":
        found = ", ".join(f"{i.name}: {i.type}" for i in inputs.values())
        raise RunError(f"{path} must take one input '{INPUT}' of float32, not {found}")
    if len(one.shape) != 4 or isinstance(one.shape[0], int) or list(one.shape[1:]) != wanted:
        raise RunError(
            f"{path}: input '{INPUT}' has shape {one.shape}, the card's preprocess gives {['N', *wanted]}"
        )
    found_outputs = {o.name: o for o in session.get_outputs()}
    if set(found_outputs) != {o.name for o in card.outputs}:
        named = ", ".join(o.name for o in card.outputs)
        raise RunError(f"{path} has the outputs {', '.join(found_outputs)}; the card names {named}")
    for output in card.outputs:
        node = found_outputs[output.name]
        if node.type != "tensor(float)" or len(node.shape) != 2 or node.shape[1] != output.num_classes:
            raise RunError(
                f"{path}: output '{output.name}' is {node.type} of shape {node.shape}, "
                f"the card's {output.num_classes} labels need tensor(float) of ['N', {output.num_classes}]"
            )


def _check_says_the_same(path: Path, session: Any, card: Card) -> None:
    """What a model says of itself (`metadata`) and its card must agree: one of them may have been edited."""
    about = session.get_modelmeta().custom_metadata_map
    said = about_card(card, "")
    for field in ("outputs", "preprocess"):
        if field in about and _meaning(about[field]) != _meaning(said[field]):
            raise RunError(
                f"{path} says '{field}' otherwise than {CARD} beside it: {about[field]} there, "
                f"{said[field]} in the card",
                "copy both files again, or export the model again",
            )


def _meaning(text: str) -> Any:
    """JSON's value, for the order of keys and 1 or 1.0 are no difference; the text where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
