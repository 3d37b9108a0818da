"""Reading and writing multipart/related (RFC 2387) as in DICOMweb (PS3.18 8.6.1.2); answers are read as they arrive.

This is not left to dicomweb-client (0.61), which takes the rest of a body that was cut off for its last part, and
returns parsed datasets instead of the stored files.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Protocol

from derived_series.errors import StorageError

_BLOCK_BYTES = 1 << 20
_LINE_BYTES = 8192
_MOST_HEADERS = 64


class Source(Protocol):
    """The interface of the stream that is read: an ``io.BufferedReader``."""

    def readline(self, size: int = -1, /) -> bytes: ...

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class ContentType:
    """A parsed Content-Type header: ``multipart/related; type="application/dicom"; boundary=x``."""

    media_type: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> ContentType:
        """Read a header (RFC 2045 5.1); names are lower-cased, quotes removed."""
        message = Message()
        message["Content-Type"] = header
        pairs = message.get_params(failobj=[], unquote=True)
        parameters = {name.lower(): value for name, value in pairs[1:]}
        return cls(message.get_content_type() if pairs else "", parameters)


def boundary_of(content_type: str) -> bytes:
    """The boundary of a multipart answer.

    :raises StorageError: it is not multipart, or names no boundary.
    """
    parsed = ContentType.parse(content_type)
    if not parsed.media_type.startswith("multipart/"):
        raise StorageError(f"the server answered Content-Type {content_type!r} where multipart/related is due")
    boundary = parsed.parameters.get("boundary", "")
    if not 0 < len(boundary) <= 200:
        raise StorageError(f"the server's multipart answer names no usable boundary: {content_type!r}")
    return boundary.encode("latin-1", "replace")


def iterate_parts(stream: io.RawIOBase, boundary: bytes) -> Iterator[bytes]:
    """Iterate over the bodies of the parts; only one of them is in memory at a time.

    :param stream: the body of the answer, readable once.
    :raises StorageError: the body ends before its closing delimiter (transient), or breaks the multipart format.
    """
    source = io.BufferedReader(stream, _BLOCK_BYTES)
    delimiter = b"--" + boundary
    number = 1
    closed = _first_delimiter(source, delimiter)
    while not closed:
        length = _content_length(source, number)
        if length is None:
            body, closed = _until_delimiter(source, delimiter, number)
        else:
            body, closed = _exactly(source, length, delimiter, number)
        yield body
        number += 1


def _truncated(number: int) -> StorageError:
    return StorageError(f"the multipart answer ends inside part {number}", transient=True)


def _closes(line: bytes, delimiter: bytes) -> bool | None:
    """Whether a delimiter line is the closing one; None for any other line."""
    text = line.rstrip(b"\r\n \t")
    if text == delimiter:
        return False
    return True if text == delimiter + b"--" else None


def _first_delimiter(source: Source, delimiter: bytes) -> bool:
    for _ in range(_MOST_HEADERS):
        line = source.readline(_LINE_BYTES)
        if not line:
            raise StorageError("the multipart answer has no boundary in its body", transient=True)
        closed = _closes(line, delimiter)
        if closed is not None:
            return closed
    raise StorageError("the multipart answer does not begin with its boundary")


def _content_length(source: Source, number: int) -> int | None:
    """Read a part's headers and return its Content-Length, if it has one."""
    length = None
    for _ in range(_MOST_HEADERS):
        line = source.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            if len(line) == _LINE_BYTES:
                raise StorageError(f"a header of part {number} is longer than {_LINE_BYTES} bytes")
            raise _truncated(number)
        if not line.strip():
            return length
        name, separator, value = line.partition(b":")
        if not separator:
            raise StorageError(f"part {number} of the multipart answer has a broken header: {line[:80]!r}")
        if name.strip().lower() == b"content-length":
            if not value.strip().isdigit():
                raise StorageError(f"part {number} has a Content-Length that is not a number: {value[:80]!r}")
            length = int(value)
    raise StorageError(f"part {number} of the multipart answer has more than {_MOST_HEADERS} headers")


def _exactly(source: Source, length: int, delimiter: bytes, number: int) -> tuple[bytes, bool]:
    body = source.read(length)
    after = source.readline(_LINE_BYTES)
    line = source.readline(_LINE_BYTES)
    closed = _closes(line, delimiter)
    if len(body) < length or not after or not line or (closed is None and not line.endswith(b"\n")):
        raise _truncated(number)
    if after != b"\r\n" or closed is None:
        raise StorageError(f"part {number} does not end after its Content-Length of {length} bytes")
    return body, closed


def _until_delimiter(source: Source, delimiter: bytes, number: int) -> tuple[bytes, bool]:
    body = io.BytesIO()
    at_line_start = True  # an empty body: its delimiter follows the headers' empty line at once
    while line := source.readline(_BLOCK_BYTES):
        if at_line_start and line.startswith(delimiter):
            closed = _closes(line, delimiter)
            if closed is not None:
                return bytes(body.getbuffer()[:-2] if body.tell() else b""), closed
        body.write(line)
        at_line_start = line.endswith(b"\r\n")
    raise _truncated(number)


def make_body(parts: Iterable[bytes | memoryview], boundary: bytes) -> bytes:
    """Make the body of a multipart/related request with ``application/dicom`` parts."""
    head = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\nContent-Length: "
    pieces: list[bytes | memoryview] = []
    for part in parts:  # with a part's length, Orthanc need not search for its end
        pieces += (head, b"%d\r\n\r\n" % len(part), part, b"\r\n")
    pieces.append(b"--" + boundary + b"--\r\n")
    return b"".join(pieces)


def new_boundary() -> bytes:
    """Make a boundary of 128 random bits, which no part can be expected to contain."""
    return b"derived-series-" + secrets.token_hex(16).encode()


def content_type(boundary: bytes) -> str:
    """The Content-Type header for a body from ``make_body``."""
    return f'multipart/related; type="application/dicom"; boundary={boundary.decode()}'
