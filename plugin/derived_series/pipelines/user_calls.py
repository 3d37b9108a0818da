"""Calls user code; whatever it raises becomes an error that names the code."""

from __future__ import annotations

from typing import Any

from derived_series.errors import DerivedSeriesError, UserCodeError
from derived_series.user_code import raised_message


def call_user_code(what: str, function: Any, *arguments: Any) -> Any:
    """Call user code; whatever it raises becomes a UserCodeError. :param what: the name of the code in messages."""
    try:
        return function(*arguments)
    except DerivedSeriesError:
        raise
    except MemoryError as error:
        raise UserCodeError(f"{what} ran out of memory") from error
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # the boundary to user code
        raise UserCodeError(raised_message(what, error)) from error


def type_in_words(result: object) -> str:
    """The type of a value from user code, in words: "nothing", "a dict"."""
    return "nothing" if result is None else f"a {type(result).__name__}"
