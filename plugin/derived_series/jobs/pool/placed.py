"""PlacedExecutor: an executor of an environment, that says whether it has a place for one more job."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import Executor
from typing import Any, ClassVar


class PlacedExecutor(Executor):
    """What the jobs of an environment are handed to.

    :cvar begins_later: a task may wait after ``submit``, until a worker takes it: its time runs from then on.
    """

    begins_later: ClassVar[bool] = False

    @property
    @abstractmethod
    def has_place(self) -> bool:
        """Whether a task would be begun now."""

    @property
    def lack(self) -> str | None:
        """Why no task can begin, where that is not for others that run, in words for a job that waits."""
        return None

    @abstractmethod
    def processes(self) -> list[dict[str, Any]]:
        """What is there to run tasks, as the status tells of it."""
