"""SteadyClock: the time of day for scheduling, immune to changes of the system clock."""

from __future__ import annotations

import time


class SteadyClock:
    """Seconds since 1970 as of its creation, continued by the monotonic clock.

    The time of day may jump (a virtual machine was moved, a time server became reachable), but a job that waits for
    some seconds waits for exactly these.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()
