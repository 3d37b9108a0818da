"""Waiting for what comes true by itself, in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def soon(condition: Callable[[], Value], what: str = "it does not come true", seconds: float = 30.0) -> Value:
    """What a condition gives once it holds; a test fails with ``what`` where it does not in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return value
