"""The transfer syntaxes that a derived series can be written in (PS3.5 A): uncompressed or lossless, never lossy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from derived_series.errors import InvalidOption

DEFAULT = "ExplicitVRLittleEndian"

#: Keyword (PS3.6 table A-1) -> UID.
WRITTEN: Mapping[str, str] = MappingProxyType(
    {
        DEFAULT: "1.2.840.10008.1.2.1",
        "RLELossless": "1.2.840.10008.1.2.5",
        "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
        "JPEG2000Lossless": "1.2.840.10008.1.2.4.90",
        "HTJ2KLossless": "1.2.840.10008.1.2.4.201",
    }
)


def written_uid(name: str) -> str:
    """The UID of a transfer syntax, by its keyword or its UID.

    :raises InvalidOption: nothing is written in this syntax; lossy ones are among these.
    """
    if name in WRITTEN.values():
        return name
    if name not in WRITTEN:
        raise InvalidOption(
            f"{name!r} is not a transfer syntax that a derived series is written in",
            remedy=f"uncompressed or lossless, these are: {', '.join(WRITTEN)}",
        )
    return WRITTEN[name]
