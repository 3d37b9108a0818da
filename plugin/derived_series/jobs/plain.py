"""Making text and JSON that can be written anywhere from anything that a job or a request contains."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from derived_series.shortening import shortened

#: The most characters that are kept of a text.
LONGEST_CHARACTERS = 20_000
_DEEPEST_LEVELS = 64
_MOST_BITS = 1024

#: Escapes for control characters other than tab; text after a line feed is indented, unlike an entry of the log.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)} | {
    0x0A: "\n    ",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def printable(text: str, longest: int = LONGEST_CHARACTERS) -> str:
    """Make a text fit for any log: control characters and lone surrogates are escaped, and a long text is cut."""
    return shortened(text, longest).translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def text_of(value: object) -> str:
    """Anything as a text of bounded length; user code may give an error any message."""
    if isinstance(value, str):
        return shortened(str(value), LONGEST_CHARACTERS)
    try:
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        return shortened(text, LONGEST_CHARACTERS)
    except Exception:  # the boundary to a user's class
        return f"<{type(value).__name__}>"


def encodable(value: Any) -> Any:
    """A value for JSON (RFC 8259), with text in place of anything that JSON cannot represent: bytes, NaN, objects."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _encodable(value, 0)
    return value


def _encodable(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):  # numpy's too; one of thousands of digits cannot be written
        return int(value) if int(value).bit_length() <= _MOST_BITS else "..."
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if depth >= _DEEPEST_LEVELS:
        return "..."
    if isinstance(value, Mapping):
        return {text_of(key): _encodable(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(each, depth + 1) for each in value]
    return text_of(value)


def json_bytes(document: Any, indent: int | None = None) -> bytes:
    """Encode any document as JSON in UTF-8; a lone surrogate becomes its escape, which is valid JSON."""
    text = json.dumps(encodable(document), indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")
