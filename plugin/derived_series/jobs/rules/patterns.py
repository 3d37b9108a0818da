"""Regular expressions in linear time, whoever wrote them.

Python's own engine may take years for a short expression, and blocks all other threads meanwhile. This uses the engine
of the Rust crate ``regex``, which pydantic includes: https://docs.rs/regex/latest/regex/#syntax
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic_core import SchemaError, SchemaValidator, core_schema

#: The most characters of a regular expression, and of a text to search.
MOST_PATTERN_CHARACTERS = 500
_SEARCHED_CHARACTERS = 1024


def searcher(pattern: str) -> Callable[[str], bool]:
    """Compile a regular expression to a function that says whether it matches in a text's first 1024 characters.

    :raises ValueError: it is not a regular expression, or uses what this engine lacks: look-around, references.
    """
    if len(pattern) > MOST_PATTERN_CHARACTERS:
        raise ValueError(f"has {len(pattern)} characters; a regular expression may have {MOST_PATTERN_CHARACTERS}")
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError as error:
        raise ValueError(f"not a regular expression that rules know ({_reason(error)})") from error
    return lambda text: validator.isinstance_python(text[:_SEARCHED_CHARACTERS])


def _reason(error: SchemaError) -> str:
    """The last line of the engine's message, without pydantic's additions."""
    return str(error).strip().splitlines()[-1].strip().removeprefix("SchemaError: ").removeprefix("error: ")
