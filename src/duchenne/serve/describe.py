"""What the server says of itself: the model's card, and the forms of requests and answers for OpenAPI."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from .. import __version__
from ..inference import Predictor
from .limits import Limits
from .multipart import FIELDS

# Fields of the card that say something to who asks; the preprocess is the server's business.
_CARD = (
    "name", "outputs", "temperature", "scaling", "figures", "terms", "data", "training", "created",
    "model_sha256",
)  # fmt: skip


def describe_model(predictor: Predictor, limits: Limits) -> dict[str, Any]:
    """The card's fields for clients, what finds the faces, and the limits."""
    artifact = predictor.artifact
    card = artifact.card.to_json()
    return {
        **{name: card[name] for name in _CARD if name in card},
        "precision": artifact.precision,
        "faces": type(predictor.finder).__name__.lower(),
        "limits": limits.to_json(),
        "version": __version__,
    }


class Health(BaseModel):
    """Whether the server answers."""

    status: str


class ScoreForm(BaseModel):
    """A label and its probability in [0, 1]."""

    label: str
    score: float


class FaceForm(BaseModel):
    """One face; see `duchenne.inference.Face`."""

    box: list[int]
    detector_score: float | None
    landmarks: list[list[float]] | None
    labels: dict[str, str]
    outputs: dict[str, list[ScoreForm]]


class RecordForm(BaseModel):
    """One image; see `duchenne.inference.Record`."""

    path: str | None
    error: str | None
    note: str | None
    faces: list[FaceForm]


class Answer(BaseModel):
    """One record an image, in the request's order."""

    model: str
    records: list[RecordForm]


class Failure(BaseModel):
    """What was wrong, and what to do next."""

    error: str
    todo: str


_SAID = {
    400: "Not well-formed.",
    401: "No API key, or a wrong one.",
    403: "Asked by a page of another site.",
    408: "The request came too slowly.",
    413: "More bytes or images than allowed.",
    415: "Neither multipart/form-data nor application/json.",
    421: "A name in the Host header that the server does not go by.",
    422: "Well-formed, but not of the form asked for.",
    429: "Too many requests in flight; Retry-After says when to come back.",
    500: "The server failed; its log says more.",
    503: "Not done in time, too many connections, or the server is ending.",
}
_LATER = {
    "Retry-After": {"description": "Seconds until there is likely to be room.", "schema": {"type": "integer"}}
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How OpenAPI describes refusals of these statuses."""
    return {
        status: {"model": Failure, "description": _SAID[status]}
        | ({"headers": _LATER} if status in (429, 503) else {})
        for status in sorted(statuses)
    }


# What any request may be answered, and what further where there is an API key.
ALWAYS = (400, 403, 408, 421, 503)
KEYED = (401,)

# How a request brings the API key, one way or the other.
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def with_security(schema: dict[str, Any], open_paths: Collection[str]) -> dict[str, Any]:
    """An OpenAPI document that says that all paths but the open ones ask for a key. Changes its argument."""
    schema["components"]["securitySchemes"] = SCHEMES
    for path, methods in schema["paths"].items():
        if path not in open_paths:
            for method in methods.values():
                method["security"] = [{name: []} for name in SCHEMES]
    return schema


def request_form(most: int) -> dict[str, Any]:
    """The forms of a request to /predict, as OpenAPI describes them.

    Args:
        most: Images a request may hold.
    """
    bounds = {"type": "array", "minItems": 1, "maxItems": most}
    files = {**bounds, "items": {"type": "string", "format": "binary"}}
    texts = {**bounds, "items": {"type": "string", "description": "Base64, or a data URL in base64."}}
    form = {"type": "object", "required": ["images"]}
    content = {
        "multipart/form-data": {
            "schema": {
                **form,
                "properties": {"images": files},
                "description": f"One or several files; the field may be {', '.join(FIELDS)}.",
            }
        },
        "application/json": {
            "schema": {**form, "properties": {"images": texts}, "additionalProperties": False}
        },
    }
    return {"requestBody": {"required": True, "content": content}}
