"""Nodes: the Orthancs that share the jobs. One of them leads: only that one hands out jobs and reads the changes."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from derived_series.jobs.queue.progress_board import MemoryBoard, ProgressBoard


@dataclass(frozen=True, slots=True)
class Part:
    """The callbacks for changes of this Orthanc's part among the others.

    :param lead: it leads from now on: take up unfinished jobs.
    :param resign: it no longer leads: let go of running jobs, and write nothing about them.
    :param hear: one of the Orthancs, maybe this one, sent a message: what, and about which job.
    """

    lead: Callable[[], None]
    resign: Callable[[], None]
    hear: Callable[[str, str], None]


#: The messages between Orthancs: a job is new, is to be cancelled, is over; a series has become stable; a run over many
#: series has changed; there is a notice to send; another Orthanc is gone.
NEW, CANCEL, OVER, STABLE, BULK, NOTICE, GONE = "new", "cancel", "over", "stable", "bulk", "notice", "gone"

#: Actions that only one may do at a time: searching for a job that already does the same, deciding a verdict, and
#: deciding which series of runs are replaced.
Purpose: TypeAlias = Literal["reuse", "verdicts", "replacements"]


class Nodes(ABC):
    """All Orthancs that share the jobs, including this one."""

    #: The progress of attempts, as far as it is known here.
    board: ProgressBoard

    #: Seconds after which to look even without a message; None if no message can be lost.
    look_seconds: float | None = None

    @property
    @abstractmethod
    def leads(self) -> bool:
        """Whether this one leads for certain."""

    @property
    def is_silent(self) -> bool:
        """Whether another may already have taken up what this one runs."""
        return False

    @property
    def is_alone(self) -> bool:
        """Whether there cannot be others."""
        return self.look_seconds is None

    @abstractmethod
    def start(self, part: Part) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def tell(self, what: str, job_id: str = "") -> None:
        """Send a message to all. It never raises: those that miss it look by themselves."""

    @abstractmethod
    def wants(self, job_id: str, attempt: int) -> bool:
        """Whether an attempt is running and wanted, for an Orthanc that does not lead. :raises Busy: it is unknown."""

    @abstractmethod
    def alone(self, purpose: Purpose) -> AbstractContextManager[object]:
        """Do something that no other thread of any Orthanc does meanwhile. :raises Busy: that cannot be ensured."""

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """The other Orthancs, as an entry of the status."""


class OneNode(Nodes):
    """The only Orthanc that uses its jobs."""

    def __init__(self) -> None:
        self.board = MemoryBoard()
        self._part: Part | None = None
        self._locks: dict[Purpose, threading.Lock] = {purpose: threading.Lock() for purpose in get_args(Purpose)}

    @property
    def leads(self) -> bool:
        return True

    def start(self, part: Part) -> None:
        self._part = part
        part.lead()

    def stop(self) -> None:
        return

    def tell(self, what: str, job_id: str = "") -> None:
        if self._part is not None:
            self._part.hear(what, job_id)

    def wants(self, job_id: str, attempt: int) -> bool:
        return False

    def alone(self, purpose: Purpose) -> AbstractContextManager[object]:
        return self._locks[purpose]

    def status(self) -> dict[str, Any]:
        return {}
