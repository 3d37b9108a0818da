"""Regular expressions that take no longer than the text and the expression are long, whoever wrote them.

Python's own engine may take years for a short expression, and lets no other thread run meanwhile. The engine is that of
the Rust crate ``regex``, as pydantic has it: https://docs.rs/regex/latest/regex/#syntax
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic_core import SchemaError, SchemaValidator, core_schema

#: Of a regular expression, and of a text in which it is searched.
MOST_PATTERN_CHARACTERS = 500
_SEARCHED_CHARACTERS = 1024


def searcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text has a match somewhere in its first 1024 characters.

    :raises ValueError: not a regular expression, or one that this engine does not know: look-around, references.
    """
    if len(pattern) > MOST_PATTERN_CHARACTERS:
        raise ValueError(f"has {len(pattern)} characters; a regular expression may have {MOST_PATTERN_CHARACTERS}")
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        raise ValueError(f"not a regular expression that rules know ({_reason(error)})") from error
    return lambda text: validator.isinstance_python(text[:_SEARCHED_CHARACTERS])


def _reason(error: SchemaError) -> str:
    """The engine's last line, without where it stands in pydantic."""
    return str(error).strip().splitlines()[-1].strip().removeprefix("SchemaError: ").removeprefix("error: ")
