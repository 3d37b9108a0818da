"""The time of day for what waits: set once, then by a clock that nobody sets."""

from __future__ import annotations

import time


class SteadyClock:
    """Seconds since 1970 as they were when it was made, and from then on by the monotonic clock.

    The time of day may jump (a virtual machine that was moved, a time server that is found at last); what waits for a
    while waits for that while all the same.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()
