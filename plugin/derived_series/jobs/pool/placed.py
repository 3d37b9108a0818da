"""PlacedExecutor: the executor of an environment, which says whether it has a place for another job."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import Executor
from typing import Any, ClassVar


class PlacedExecutor(Executor):
    """The executor of an environment's jobs.

    :cvar begins_later: whether a task may wait after ``submit`` until a worker takes it; its time runs from then on.
    """

    begins_later: ClassVar[bool] = False

    @property
    @abstractmethod
    def has_place(self) -> bool:
        """Whether a task would begin now."""

    @property
    def lack(self) -> str | None:
        """What a waiting job waits for, other than for running ones, in words; None if nothing."""
        return None

    @abstractmethod
    def processes(self) -> list[dict[str, Any]]:
        """Its processes or workers, as entries of the status."""
