"""Sends files as answers: in pieces if Orthanc's Python plugin can, else whole."""

from __future__ import annotations

from typing import Any, BinaryIO

#: The size of a piece.
_PIECE_BYTES = 1 << 20


def send_file(output: Any, file: BinaryIO, content_type: str) -> None:
    """Answer with the rest of a file, from its current position.

    :param output: the ``RestOutput`` of Orthanc's Python plugin; from version 5.0 on, on Orthanc 1.12.6 or later, it
        takes an answer piece by piece. Before that, the whole file is in memory for a moment.
    """
    if not hasattr(output, "StartStreamAnswer"):
        output.AnswerBuffer(file.read(), content_type)
        return
    output.StartStreamAnswer(content_type)
    while piece := file.read(_PIECE_BYTES):
        output.SendStreamChunk(piece)
