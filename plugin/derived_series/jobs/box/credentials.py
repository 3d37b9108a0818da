"""The credentials of a worker for Orthanc, from a file on its own machine that is never sent anywhere else."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

from derived_series.errors import InvalidRequest


def read_credentials(file: Path) -> tuple[tuple[str, str], ...]:
    """Read headers from a file: a line ``user:password``, or lines ``Name: value``.

    :raises InvalidRequest: other users can read the file, or it has neither.
    """
    try:
        mode = file.stat().st_mode
        lines = [line.strip() for line in file.read_text().splitlines() if line.strip() and line[0] != "#"]
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text (UTF-8)"
        raise InvalidRequest(
            f"the file of credentials {file} cannot be read: {why}",
            remedy="it is to belong to the user that the worker runs as, chmod 600, with a line user:password",
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidRequest(f"others may read {file}", remedy=f"chmod 600 {file}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not value.strip():
            raise InvalidRequest(f"a line of {file} is neither user:password nor Name: value")
        if value[:1] in (" ", "\t"):
            headers.append((name.strip(), value.strip()))
        else:
            headers.append(("Authorization", f"Basic {base64.b64encode(line.encode()).decode()}"))
    if not headers:
        raise InvalidRequest(f"{file} has neither user:password nor Name: value", remedy="write such a line into it")
    return tuple(headers)
