"""Recognising a file by its first bytes, so that an error names its type instead of quoting a reader's failure."""

from __future__ import annotations

from pathlib import Path

from derived_series.errors import InvalidImage
from derived_series.kinds import file_type
from derived_series.kinds.file_types import FileType

#: The remedy for a file that is shorter than its header says.
CUT_OFF = "it was cut off while it was written or sent: send the whole file again"


def require(path: str | Path, *types: FileType, reader: str) -> None:
    """Require that a file is not of another known type.

    :param types: the types that are accepted. :param reader: the name of the factory that reads them.
    :raises InvalidImage: the file is of another known type; the error names that type, and what reads it.
    """
    try:
        with Path(path).open("rb") as file:
            file_kind = file_type(file.read(16))
    except OSError:  # the reader says why
        return
    if file_kind is not None and file_kind not in types:
        raise InvalidImage(
            f"the image is a {file_kind.name}, which the factory {reader} does not read", remedy=file_kind.remedy
        )
