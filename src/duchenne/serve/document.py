"""Images out of a JSON document: ``{"images": [base64 or data URL, ...]}``."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from ..inference import Source
from .body import too_many
from .limits import Limits
from .multipart import source
from .refusal import Refused, shown

FORM = '{"images": ["base64 or data URL", ...]}'
# What a document of that form needs of these characters: one or two an image, a few in all. A document of
# 32 MiB of them would become gigabytes of Python objects.
_MARKS = b"[{,:"
_BLANKS = b" \t\r\n"


def read_document(body: bytes, limits: Limits) -> list[Source]:
    """The images in their order.

    Raises:
        Refused: 400: no JSON; 422: JSON of another form; 413: more images than allowed.
    """
    if sum(body.count(mark) for mark in _MARKS) > 4 * limits.images + 64:
        raise Refused(
            413,
            f"the document holds more than {limits.images} images, or is of another form",
            f"the form is {FORM}; split what is larger into several requests",
        )
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refused(400, f"the body is not JSON{where}", f"the form is {FORM}") from None
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise Refused(422, "the document has no list 'images'", f"the form is {FORM}")
    for key in document.keys() - {"images"}:
        raise Refused(422, f"there is no field '{shown(key)}'", f"the form is {FORM}")
    images = document["images"]
    if len(images) > limits.images:
        raise too_many(limits)
    for number, text in enumerate(images):
        if not isinstance(text, str):
            raise Refused(422, f"images[{number}] is not a string", f"the form is {FORM}")
    return [_decode(text, number, limits) for number, text in enumerate(images)]


def _decode(text: str, number: int, limits: Limits) -> Source:
    """A text that is no base64 is a bad image: a record with its error."""
    head, comma, rest = text.partition(",")
    if comma:
        head = head.strip().lower()  # a URL's scheme may be written in capitals (RFC 3986, 3.1)
        if not (head.startswith("data:") and head.endswith(";base64")):
            return Source(None, error=f"images[{number}] is neither base64 nor a data URL in base64")
        text = rest
    try:
        raw = text.encode("ascii").translate(None, _BLANKS)
        size = len(raw) // 4 * 3
        data = b"" if size > limits.image_bytes + 2 else base64.b64decode(raw, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        why = ": its padding is wrong" if "padding" in str(error).lower() else ""
        return Source(None, error=f"images[{number}] is not base64{why}")
    return source(None, data, max(len(data), size if not data else 0), limits)
