"""The boundary to pydicom and its decoders: whatever they raise for a damaged file becomes one clear error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from derived_series.errors import InvalidParent

#: What pydicom raises for values that it cannot convert, which it does only when they are used.
READ_ERRORS = (
    *(InvalidDicomError, BytesLengthException, NotImplementedError, RecursionError, OSError, EOFError),
    *(ValueError, KeyError, AttributeError, TypeError, IndexError, OverflowError, AssertionError),
    *(struct.error, zlib.error),
)
#: The most bytes that a deflated instance may unfold to: more than a frame of any modality. pydicom parses meaningless
#: bytes at no more than a few million a second.
_LARGEST_UNFOLDED_BYTES = 1 << 26
_AT_ONCE_BYTES = 1 << 22
#: VRs with a 4 byte length (PS3.5 table 7.1-1) that file meta information may hold.
_LONG = (b"OB", b"UN", b"OW", b"UT")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the errors of code that reads parents into one; a context manager and a decorator.

    :param what: the subject of the message: "the headers of the parent".
    :raises InvalidParent: for any error that shows that something cannot be read.
    """
    try:
        yield
    except READ_ERRORS as error:
        raise unreadable(what, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of decoders in Rust, whose panics are not Exceptions
            raise
        raise unreadable(what, error) from error


def unreadable(what: str, error: BaseException) -> InvalidParent:
    """The error for something that cannot be read."""
    text = f"{type(error).__name__}: {error}"
    return InvalidParent(
        f"{what} cannot be read as DICOM: {text if len(text) <= 500 else f'{text[:500]}...'}",
        remedy="send the series again from its source",
    )


def refuse_bombs(data: bytes, name: str) -> None:
    """Refuse a deflated file (PS3.5 A.5) that unfolds to more than any image holds. :raises InvalidParent: it does."""
    if DeflatedExplicitVRLittleEndian.encode() not in data[:4096]:
        return
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = data[_after_meta(data) :]
    unfolded = 0
    while rest:
        unfolded += len(unpacker.decompress(rest, _AT_ONCE_BYTES))
        rest = unpacker.unconsumed_tail
        if unfolded > _LARGEST_UNFOLDED_BYTES:
            raise InvalidParent(
                f"{name} is deflated and unfolds to more than {_LARGEST_UNFOLDED_BYTES >> 20} MB",
                remedy="send it in another transfer syntax",
            )


def _after_meta(data: bytes) -> int:
    """The offset at which the file meta information (group 0002, explicit VR little endian) ends."""
    at = 132
    while data[at : at + 2] == b"\x02\x00":
        if data[at + 4 : at + 6] in _LONG:
            at += 12 + int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(data[at + 6 : at + 8], "little")
    return at
