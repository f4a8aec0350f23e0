"""The card beside a model: what it answers, how its input is made, where it comes from, its terms."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from ..errors import RunError, did_you_mean
from ..labels import Output

SCHEMA = 1

# A card is a few kB; a file above this is something else, and is not read into memory.
_MAX_BYTES = 16 << 20

# Far outside what is ever fitted (0.02 to 50), as are its inverses; beyond it logits overflow, or all labels
# are equal.
_TEMPERATURES = (1e-3, 1e3)

_TYPES: dict[str, type] = {
    "schema": int, "name": str, "outputs": list, "preprocess": dict, "temperature": dict, "figures": dict,
    "terms": str, "data": dict, "training": dict, "versions": dict, "created": str, "model_sha256": str,
}  # fmt: skip
# Written only where there is something to say, so that versions before them read the other cards.
_OPTIONAL: dict[str, type] = {"scaling": dict, "int8": dict, "weights": dict}
_JSON_NAMES: dict[type, str] = {int: "a whole number", str: "a string", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Card:
    """What stands in card.json.

    Attributes:
        name: The recipe's id.
        outputs: What the model answers, in the order of the ONNX outputs' reading; each holds logits.
        preprocess: `duchenne.transforms.preprocess.Preprocess` as its ``to_json`` writes it.
        temperature: Output name -> the number (0.001 to 1000) its logits are divided by; 1.0 where not named.
        scaling: Output name -> ``scale`` and ``shift``, a number a label each: logits become
            ``logits * scale + shift`` first. Only where that was fitted.
        figures: The run's own figures, free JSON.
        terms: Under which terms the model may be used, a sentence.
        data: Of the training data: ``name``, ``fingerprint``.
        training: ``epoch``, ``epochs_planned``, ``seed``, ``recipe_fingerprint``.
        versions: Package -> version that made the model.
        created: UTC time, ISO 8601.
        model_sha256: Of model.onnx, 64 hex digits; `save_artifact` fills it in.
        int8: Of model.int8.onnx, where there is one: ``sha256``, ``default`` (whether it answers unless
            float32 is asked for) and ``measured``: what was compared. Empty: there is none.
        weights: Of weights.safetensors, where there is one: ``sha256``, ``precision``.
        schema: Version of this form.
    """

    name: str
    outputs: tuple[Output, ...]
    preprocess: Mapping[str, Any]
    temperature: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    terms: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""
    model_sha256: str = ""
    int8: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)
    scaling: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        names = [o.name for o in self.outputs]
        object.__setattr__(self, "outputs", tuple(self.outputs))
        if not names:
            raise RunError("card: field 'outputs' is empty")
        if len(set(names)) < len(names):
            raise RunError(f"card: field 'outputs' names an output twice: {', '.join(names)}")
        for output in self.outputs:
            if not output.labels or len(set(output.labels)) < len(output.labels):
                raise RunError(f"card: field 'outputs', '{output.name}': labels must be there and differ")
        _check_int8(self.int8)
        given = dict.fromkeys(names, 1.0) | dict(self.temperature)
        object.__setattr__(self, "temperature", {k: _temperature(k, v, names) for k, v in given.items()})
        sizes = {o.name: o.num_classes for o in self.outputs}
        for name, scaling in self.scaling.items():
            _check_scaling(name, scaling, sizes)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `parse_card` gives back an equal card."""
        plain = {k: v for k, v in asdict(self).items() if v or k not in _OPTIONAL}
        return plain | {
            "outputs": [{"name": o.name, "kind": o.kind, "labels": list(o.labels)} for o in self.outputs]
        }

    def save(self, path: Path) -> None:
        """Write the card in one step. Raises RunError when it cannot be written or holds no plain JSON."""
        try:
            text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RunError(f"{path}: the card holds what JSON cannot: {error}") from None
        replace_file(path, (text + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card.

        Raises:
            RunError: Naming file and field: missing, not JSON, another schema version, an unknown or
                missing key, a value of the wrong type.
        """
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise RunError(f"{path} is not a file", "a model's folder holds model.onnx and card.json")
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise RunError(f"{path} is larger than any card", "is this the right folder?")
            text = path.read_bytes()
        except OSError as error:
            raise RunError(
                f"{path} cannot be read: {error.strerror}", "a model's folder holds model.onnx and card.json"
            ) from None
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} is not JSON ({error})", _AGAIN) from None
        return parse_card(raw, str(path))


_AGAIN = "the file was cut short or edited; export the model again with `duchenne evaluate RUN`"


def parse_card(raw: Any, where: str) -> Card:
    """Check plain JSON values and make a card of them; errors as `Card.load`, starting with `where`."""
    if not isinstance(raw, dict):
        raise RunError(f"{where}: a card is a JSON object, not {type(raw).__name__}", _AGAIN)
    if "schema" in raw and raw["schema"] != SCHEMA:
        raise RunError(
            f"{where}: field 'schema' is {raw['schema']!r}; this version reads {SCHEMA}",
            "install the version of duchenne that wrote it, or export the model again",
        )
    known = [f.name for f in fields(Card)]
    for key in raw:
        if key not in known:
            raise RunError(f"{where}: unknown field '{key}'", did_you_mean(key, known))
    for key, kind in (_TYPES | _OPTIONAL).items():
        if key not in raw and key in _OPTIONAL:
            continue
        if key not in raw:
            raise RunError(f"{where}: field '{key}' is missing", _AGAIN)
        if not isinstance(raw[key], kind) or isinstance(raw[key], bool):
            _wrong(where, key, raw[key], _JSON_NAMES[kind])
    outputs = tuple(_output(where, i, o) for i, o in enumerate(raw["outputs"]))
    try:
        return Card(**{**raw, "outputs": outputs})
    except RunError as error:
        raise RunError(f"{where}: {error.what.removeprefix('card: ')}", error.todo) from None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: a kill or a full disk leaves the old one or the new one, never half.

    Raises:
        RunError: It cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(path)
    except OSError as error:
        if scratch.is_file():
            scratch.unlink()
        raise RunError(
            f"{path} cannot be written: {error.strerror}", "free some space or name another folder"
        ) from None


def _wrong(where: str, field: str, value: Any, wanted: str) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise RunError(f"{where}: field '{field}' must be {wanted}, not {shown}", _AGAIN)


def _output(where: str, index: int, raw: Any) -> Output:
    place = f"outputs[{index}]"
    if not isinstance(raw, dict) or set(raw) != {"name", "kind", "labels"}:
        _wrong(where, place, raw, "an object with name, kind and labels")
    if not isinstance(raw["name"], str) or not raw["name"]:
        _wrong(where, f"{place}.name", raw["name"], "a string")
    if raw["kind"] not in ("single", "multi"):
        _wrong(where, f"{place}.kind", raw["kind"], "'single' or 'multi'")
    labels = raw["labels"]
    if not isinstance(labels, list) or not labels or not all(isinstance(x, str) and x for x in labels):
        _wrong(where, f"{place}.labels", labels, "a list of strings")
    return Output(raw["name"], raw["kind"], tuple(labels))


def _check_int8(int8: Mapping[str, Any]) -> None:
    if not int8:
        return
    for key, kind in (("sha256", str), ("default", bool)):
        if not isinstance(int8.get(key, kind()), kind):
            wanted = "true or false" if kind is bool else "a string"
            raise RunError(f"card: field 'int8.{key}' must be {wanted}, not {int8[key]!r}")


def _temperature(name: str, value: Any, outputs: list[str]) -> float:
    if name not in outputs:
        raise RunError(f"card: field 'temperature': no output '{name}'", did_you_mean(name, outputs))
    if not _is_number(value) or not _TEMPERATURES[0] <= value <= _TEMPERATURES[1]:
        wanted = "a number from {:g} to {:g}".format(*_TEMPERATURES)
        raise RunError(f"card: field 'temperature.{name}' must be {wanted}, not {value!r}")
    return float(value)


def _check_scaling(name: str, scaling: Any, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        raise RunError(f"card: field 'scaling': no output '{name}'", did_you_mean(name, sizes))
    if not isinstance(scaling, Mapping) or set(scaling) != {"scale", "shift"}:
        raise RunError(f"card: field 'scaling.{name}' must be an object with scale and shift")
    for key, values in scaling.items():
        low, high = _TEMPERATURES if key == "scale" else (-_TEMPERATURES[1], _TEMPERATURES[1])
        good = isinstance(values, list) and len(values) == sizes[name] and all(map(_is_number, values))
        if not good or not all(low <= value <= high for value in values):
            wanted = f"{sizes[name]} numbers from {low:g} to {high:g}"
            raise RunError(f"card: field 'scaling.{name}.{key}' must be a list of {wanted}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
