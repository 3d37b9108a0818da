"""Reading and writing multipart/related: whatever is in the parts, and wherever a body is cut off."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derived_series.dicomweb.multipart import (
    boundary_of,
    content_type,
    iterate_parts,
    make_body,
    new_boundary,
)
from derived_series.errors import StorageError

BOUNDARY = b"4711"


def read(body: bytes, boundary: bytes = BOUNDARY) -> list[bytes]:
    return list(iterate_parts(io.BytesIO(body), boundary))  # type: ignore[arg-type]


def with_lengths(parts: list[bytes]) -> bytes:
    """The form that Orthanc sends: a Content-Length and MIME-Version in every part."""
    pieces = [
        b"--%s\r\nContent-Type: application/dicom\r\nContent-Length: %d\r\nMIME-Version: 1.0\r\n\r\n%s\r\n"
        % (BOUNDARY, len(part), part)
        for part in parts
    ]
    return b"".join(pieces) + b"--%s--\r\n" % BOUNDARY


# Parts that are made of what the format itself is made of are the ones that break readers.
NASTY = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"--", BOUNDARY, b"--4711x", b" --4711", b"\0", b"DICM", b"a"]),
    max_size=12,
).map(b"".join)
SAFE = NASTY.filter(lambda part: b"\r\n--4711" not in b"\r\n" + part or b"--4711x" in part).filter(
    lambda part: not any(line.strip(b" \t\r") in (b"--4711", b"--4711--") for line in part.split(b"\n"))
)


@given(st.lists(SAFE, max_size=5))
def test_parts_without_length_come_back(parts: list[bytes]) -> None:
    assert read(make_body(parts, BOUNDARY)) == parts


@given(st.lists(NASTY, max_size=5))
def test_parts_with_length_come_back_even_when_they_hold_the_boundary(parts: list[bytes]) -> None:
    assert read(with_lengths(parts)) == parts


def test_a_large_part_without_line_ends() -> None:
    part = bytes(5 << 20)
    assert read(make_body([part, b"x"], BOUNDARY)) == [part, b"x"]
    assert read(with_lengths([part, b"x"])) == [part, b"x"]


@pytest.mark.parametrize("make", [with_lengths, lambda parts: make_body(parts, BOUNDARY)])
def test_every_truncation_is_noticed(make: object) -> None:
    body = make([b"first part", b"second"])  # type: ignore[operator]
    for end in range(len(body) - 4):  # the last four bytes are "--" and a line end
        with pytest.raises(StorageError) as caught:
            read(body[:end])
        assert caught.value.transient or end < 8


def test_parts_before_a_truncation_are_given() -> None:
    parts = iterate_parts(io.BytesIO(with_lengths([b"one", b"two"])[:-20]), BOUNDARY)  # type: ignore[arg-type]
    assert next(parts) == b"one"
    with pytest.raises(StorageError, match="ends inside part 2"):
        next(parts)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "no boundary"),
        (b"--other\r\n\r\nx\r\n--other--\r\n", "no boundary"),
        (b"--4711\r\nContent-Length: many\r\n\r\nx\r\n--4711--\r\n", "not a number"),
        (b"--4711\r\nno colon\r\n\r\nx\r\n--4711--\r\n", "broken header"),
        (b"--4711\r\nContent-Length: 1\r\n\r\nxyz\r\n--4711--\r\n", "does not end after"),
        (b"--4711\r\n" + b"A: b\r\n" * 100 + b"\r\nx\r\n--4711--\r\n", "more than 64 headers"),
        (b"--4711\r\nA: " + b"b" * 10000 + b"\r\n\r\nx\r\n--4711--\r\n", "longer than"),
    ],
)
def test_a_broken_body_is_refused(body: bytes, match: str) -> None:
    with pytest.raises(StorageError, match=match):
        read(body)


def test_the_boundary_of_an_answer() -> None:
    assert boundary_of('multipart/related; type="application/dicom"; boundary=abc-1') == b"abc-1"
    assert boundary_of('Multipart/Related;boundary="a b;c"; TYPE="application/dicom"') == b"a b;c"
    mine = new_boundary()
    assert boundary_of(content_type(mine)) == mine
    assert new_boundary() != mine


@pytest.mark.parametrize("header", ["", "application/json", "multipart/related", "multipart/related; boundary="])
def test_an_answer_that_is_not_multipart_is_refused(header: str) -> None:
    with pytest.raises(StorageError):
        boundary_of(header)
