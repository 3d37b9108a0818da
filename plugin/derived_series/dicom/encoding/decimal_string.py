"""Numbers as decimal strings (DS, PS3.5 6.2)."""

from __future__ import annotations

from pydicom.valuerep import format_number_as_ds

_LONGEST_CHARACTERS = 16


def decimal_string(value: float) -> str:
    """The decimal string (at most 16 characters) that is nearest to a number.

    :raises ValueError: NaN and Inf.
    """
    text = format_number_as_ds(float(value))
    # pydicom's text is one character too long for numbers that round up to the next power of ten
    return text if len(text) <= _LONGEST_CHARACTERS else f"{value:.9g}"
