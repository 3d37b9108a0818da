"""A file as an answer, by what the Python plugin offers."""

from __future__ import annotations

import io

import pytest

from derived_series.orthanc.file_answer import send_file

CONTENT = bytes(range(256)) * 10_000


class _Whole:
    """The output of plugins before 5.0."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.content_type = ""

    def AnswerBuffer(self, body: bytes, content_type: str) -> None:  # noqa: N802  # Orthanc's name
        self.pieces.append(body)
        self.content_type = content_type


class _Streaming(_Whole):
    def AnswerBuffer(self, body: bytes, content_type: str) -> None:  # noqa: N802
        raise AssertionError("it can be sent in pieces")

    def StartStreamAnswer(self, content_type: str) -> None:  # noqa: N802
        self.content_type = content_type

    def SendStreamChunk(self, piece: bytes) -> None:  # noqa: N802
        assert self.content_type, "it has begun"
        self.pieces.append(piece)


@pytest.mark.parametrize(("output", "count"), [(_Whole(), 1), (_Streaming(), 3)])
def test_a_file_is_sent_in_pieces_where_the_plugin_takes_them(output: _Whole, count: int) -> None:
    send_file(output, io.BytesIO(CONTENT), "application/octet-stream")
    assert b"".join(output.pieces) == CONTENT and len(output.pieces) == count
    assert output.content_type == "application/octet-stream"
