"""Files as answers: in pieces where Orthanc's Python plugin can send them, else whole."""

from __future__ import annotations

from typing import Any, BinaryIO

#: Bytes of one piece.
_PIECE_BYTES = 1 << 20


def send_file(output: Any, file: BinaryIO, content_type: str) -> None:
    """Answer with a file, from where it stands to its end.

    :param output: the ``RestOutput`` of Orthanc's Python plugin; from version 5.0 on, on Orthanc 1.12.6 or later, it
        takes an answer piece by piece. Before that, all of the file is in memory for a moment.
    """
    if not hasattr(output, "StartStreamAnswer"):
        output.AnswerBuffer(file.read(), content_type)
        return
    output.StartStreamAnswer(content_type)
    while piece := file.read(_PIECE_BYTES):
        output.SendStreamChunk(piece)
