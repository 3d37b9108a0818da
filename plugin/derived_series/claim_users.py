"""The programs that still use what a worker process has claimed, such as a GPU, for a moment after its end.

A worker has one end of a pipe, and gives copies to such programs; when all are closed, the claim can be given back.
"""

from __future__ import annotations

import os
import stat

#: The environment variable with the number of the file descriptor.
VARIABLE = "DERIVED_SERIES_CLAIM_USERS"


def descriptors() -> list[int]:
    """The file descriptors to pass on to a program that may outlive this process; none if this is not a worker."""
    number = os.environ.get(VARIABLE, "")
    try:
        return [int(number)] if stat.S_ISFIFO(os.fstat(int(number)).st_mode) else []
    except (ValueError, OSError):  # none, or closed by user code
        return []
