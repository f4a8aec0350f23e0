"""A recipe's nested tables as TOML text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Up to this many characters a list stands on one line.
_LINE = 80


def toml_text(table: Mapping[str, Any]) -> str:
    """Nested tables as TOML: values first, then one section a table; None, which TOML lacks, is left out.

    Tables inside a section are written inline, so that each section of a recipe stays one block.
    """
    lines = [
        f"{_key(key)} = {toml_value(value)}"
        for key, value in table.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            lines += ["", f"[{_key(key)}]"]
            lines += [f"{_key(str(k))} = {toml_value(v)}" for k, v in value.items() if v is not None]
    return "\n".join(lines).lstrip("\n") + "\n"


def toml_value(value: Any) -> str:
    """One value as TOML writes it; tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(k))} = {toml_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        parts = [toml_value(v) for v in value]
        if sum(map(len, parts)) > _LINE:
            return "[\n" + "".join(f"  {part},\n" for part in parts) + "]"
        return "[" + ", ".join(parts) + "]"
    return _text(value) if isinstance(value, str) else repr(value)


def _key(key: str) -> str:
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else _text(key)


def _text(text: str) -> str:
    # JSON's string escapes are a part of TOML's; DEL is the one character that only TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
