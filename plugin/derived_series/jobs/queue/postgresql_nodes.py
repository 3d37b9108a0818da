"""ManyNodes: several Orthancs with one PostgreSQL, which elect a leader and send each other messages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, get_args

from derived_series.errors import Busy, DerivedSeriesError
from derived_series.jobs.queue.nodes import GONE, NEW, Nodes, Part, Purpose
from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase
from derived_series.jobs.queue.progress_board import TableBoard
from derived_series.jobs.queue.store import is_wanted

_log = logging.getLogger(__name__)

#: Seconds between two checks of who leads, while that is known and while it is not.
_TICK_SECONDS = 1.0
_SOON_SECONDS = 0.25

#: The leader looks for the other Orthancs in every so many checks.
_TICKS_OF_OTHERS = 2

_STOP_SECONDS = 2.0


class ManyNodes(Nodes):
    """The Orthancs that use the same PostgreSQL."""

    look_seconds = 2.0

    def __init__(self, database: PostgresqlDatabase):
        self.board = TableBoard(database)
        self._database = database
        self._part: Part | None = None
        self._term: int | None = None  # the term in which this one acts as leader
        self._others: set[str] = set()
        self._ticks = 0
        self._locks: dict[Purpose, threading.Lock] = {purpose: threading.Lock() for purpose in get_args(Purpose)}
        self._stopping = threading.Event()
        self._ticking = threading.Thread(target=self._work, name="nodes", daemon=True)
        self._listening = threading.Thread(target=self._listen, name="nodes, listening", daemon=True)

    @property
    def leads(self) -> bool:
        return self._term is not None and self._database.leads

    @property
    def is_silent(self) -> bool:
        return self._database.is_silent

    def start(self, part: Part) -> None:
        self._part = part
        self._ticking.start()
        self._listening.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._ticking.is_alive():
            self._ticking.join(_STOP_SECONDS)

    def tell(self, what: str, job_id: str = "") -> None:
        with suppress(DerivedSeriesError):
            self._database.tell(f"{what} {job_id}")

    def wants(self, job_id: str, attempt: int) -> bool:
        with self._database.reading() as db:
            return is_wanted(db, job_id, attempt)

    @contextmanager
    def alone(self, purpose: Purpose) -> Iterator[None]:
        with self._locks[purpose], self._database.locked(purpose):
            yield

    def status(self) -> dict[str, Any]:
        return {
            "Name": self._database.node,
            "Leads": self.leads,
            "All": [name.split()[0] for name in self._database.sessions()],
        }

    # -- the threads -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping.is_set():
            pause = _TICK_SECONDS
            try:
                self._tick()
            except Busy as error:
                if self._term is not None and self._database.is_silent:
                    _log.warning("this Orthanc leads no more: %s", error.message)
                    self._resign()
                pause = _SOON_SECONDS
            except Exception:  # the one boundary of this thread
                if not self._stopping.is_set():
                    _log.exception("the thread that asks who leads has met an error")
            self._stopping.wait(pause)

    def _tick(self) -> None:
        term = self._database.contend()
        if term != self._term and self._term is not None:
            _log.warning("another Orthanc has led meanwhile")
            self._resign()
        if term is not None and self._term is None:
            self._term = term
            _log.warning("this Orthanc leads: it hands out the jobs and reads the changes")
            done = False
            try:
                self._others = set(self._database.sessions())
                if self._part is not None:
                    self._part.lead()
                done = True
            finally:
                if not done:
                    self._resign()  # it is tried again
        self._ticks += 1
        if term is not None and self._ticks % _TICKS_OF_OTHERS == 0:
            others = set(self._database.sessions())
            for name in self._others - others:
                _log.warning("the Orthanc %s is gone", name.split()[0])
                self._hear(GONE, name.split()[0])
            self._others = others

    def _resign(self) -> None:
        self._term = None
        if self._part is not None:
            self._part.resign()

    def _hear(self, what: str, subject: str) -> None:
        if self._part is not None and not self._stopping.is_set():
            self._part.hear(what, subject)

    def _listen(self) -> None:
        def hear(text: str) -> None:
            what, _, subject = text.partition(" ")
            self._hear(what, subject)

        while not self._stopping.is_set():
            try:
                self._database.listen(hear, lambda: self._hear(NEW, ""))
                return
            except Exception:  # the one boundary of this thread; the other Orthancs are checked later
                if not self._stopping.is_set():
                    _log.exception("what another Orthanc has said has met an error")
            self._stopping.wait(_TICK_SECONDS)
