"""The Orthancs that share the jobs: one of them leads, and that one alone hands jobs out and reads the changes."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from derived_series.jobs.queue.progress_board import MemoryBoard, ProgressBoard


@dataclass(frozen=True, slots=True)
class Part:
    """What this Orthanc does when its part among the others changes.

    :param lead: it leads from now on: take up what is there.
    :param resign: it leads no more: let go of all that runs, and write nothing of it.
    :param hear: one of the Orthancs, maybe this one, has said something: what, and of which job.
    """

    lead: Callable[[], None]
    resign: Callable[[], None]
    hear: Callable[[str, str], None]


#: What Orthancs say to each other: a job is to be looked at, is to be ended, is over; a series has become stable;
#: a run over many series has changed; there is a notice to send; another Orthanc is gone.
NEW, CANCEL, OVER, STABLE, BULK, NOTICE, GONE = "new", "cancel", "over", "stable", "bulk", "notice", "gone"

#: What is done by one at a time: to look for a job that does the same already, and to decide a verdict.
Purpose: TypeAlias = Literal["reuse", "verdicts"]


class Nodes(ABC):
    """All Orthancs of the jobs, this one among them."""

    #: How far attempts are, as far as it is known here.
    board: ProgressBoard

    #: Seconds after which is looked, whether somebody has said something or not; None: nothing is said in vain.
    look_seconds: float | None = None

    @property
    @abstractmethod
    def leads(self) -> bool:
        """Whether this one is sure to lead."""

    @property
    def is_silent(self) -> bool:
        """Whether another may have taken up what this one runs, before this one knows of it."""
        return False

    @property
    def is_alone(self) -> bool:
        """Whether there can be no other."""
        return self.look_seconds is None

    @abstractmethod
    def start(self, part: Part) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def tell(self, what: str, job_id: str = "") -> None:
        """Say something to all. Never raises: who hears nothing looks."""

    @abstractmethod
    def ask_to_cancel(self, job_id: str) -> None:
        """Ask the one that leads to end a job. :raises Busy: it cannot be asked now."""

    @abstractmethod
    def wants(self, job_id: str, attempt: int) -> bool:
        """Whether an attempt is the one that runs and is wanted, for one that does not lead. :raises Busy: unknown."""

    @abstractmethod
    def alone(self, purpose: Purpose) -> AbstractContextManager[object]:
        """Do something that no other thread of any Orthanc does meanwhile. :raises Busy: it cannot be known."""

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """The others, for people."""


class OneNode(Nodes):
    """This Orthanc alone."""

    def __init__(self) -> None:
        self.board = MemoryBoard()
        self._part: Part | None = None
        self._locks: dict[Purpose, threading.Lock] = {"reuse": threading.Lock(), "verdicts": threading.Lock()}

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

    def ask_to_cancel(self, job_id: str) -> None:
        self.tell(CANCEL, job_id)

    def wants(self, job_id: str, attempt: int) -> bool:
        return False

    def alone(self, purpose: Purpose) -> AbstractContextManager[object]:
        return self._locks[purpose]

    def status(self) -> dict[str, Any]:
        return {}
