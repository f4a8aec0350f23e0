"""The page at /: one document, its style and script within it and named by their hashes."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib.resources import files

from ..inference import Predictor


def make_page(predictor: Predictor, needs_key: bool) -> tuple[bytes, dict[str, str]]:
    """The document, and its headers: a Content-Security-Policy under which nothing else can run or load.

    Args:
        predictor: Its model's name and terms stand on the page.
        needs_key: Whether the page asks for an API key.
    """
    folder = files(__package__) / "page"
    text, style, script = (
        (folder / name).read_text("utf-8") for name in ("index.html", "style.css", "script.js")
    )
    card = predictor.artifact.card
    values = {
        "NEEDS_KEY": "yes" if needs_key else "no",
        "MODEL": html.escape(card.name),
        "TERMS": html.escape(card.terms or "The model's card states no terms."),
        "STYLE": style,
        "SCRIPT": script,
    }
    # In one pass, so that nothing is looked for within what was put in.
    text = re.sub(r"\{\{([A-Z_]+)\}\}", lambda match: values[match[1]], text)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    }
    return text.encode(), headers


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
