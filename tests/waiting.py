"""Waits for conditions that other threads or processes fulfil."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def soon(condition: Callable[[], Value], what: str = "it does not come true", seconds: float = 30.0) -> Value:
    """The value of a condition once it is true; the test fails with ``what`` if that takes too long."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return value
