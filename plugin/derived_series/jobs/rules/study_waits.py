"""StudyWaits: the studies that rules wait for until they are complete, in the jobs database."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from derived_series.errors import Conflict
from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.store import JobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study_waits (
    rule TEXT NOT NULL, study TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, state TEXT NOT NULL,
    missing TEXT NOT NULL, changed DOUBLE PRECISION NOT NULL, PRIMARY KEY (rule, study)
)
"""
_COLUMNS = "rule, study, since, state, missing, changed"


class WaitState(Enum):
    """The state of a wait. ``LATE``: the time is over, and something is still missing."""

    WAITING = "Waiting"
    COMPLETE = "Complete"
    LATE = "Late"


@dataclass(frozen=True, slots=True)
class StudyWait:
    """A rule's wait for a study, going on or over.

    :param study: its Orthanc identifier.
    :param since: when the first series was stable, in seconds since 1970.
    :param missing: by name, the number of series that exist and are wanted.
    :param changed: when the state last changed.
    """

    rule: str
    study: str
    since: float
    state: WaitState = WaitState.WAITING
    missing: Mapping[str, tuple[int, int]] | None = None
    changed: float = 0.0


class StudyWaits:
    """The waits by rule and study. They stay when the study is complete or late, for series that arrive after that."""

    def __init__(self, store: JobStore):
        self._store = store
        with store.transaction() as db:
            db.execute(_SCHEMA)

    def of(self, rule: str, study: str) -> StudyWait | None:
        """The wait of a rule for a study; None if there is none."""
        return next(iter(self._select("WHERE rule = ? AND study = ?", [rule, study])), None)

    def in_state(self, state: WaitState) -> list[StudyWait]:
        """The waits in a state, oldest first."""
        return self._select("WHERE state = ?", [state.value])

    def end(self, wait: StudyWait) -> Note:
        """A note that writes a wait whose time is over; for ``JobRunner.submit(along=...)``.

        It raises ``Conflict`` unless the wait goes on: then another Orthanc has ended it.
        """

        def write(db: Transaction) -> None:
            waiting = "rule = ? AND study = ? AND state = ?"
            key = [wait.rule, wait.study, WaitState.WAITING.value]
            if db.execute(f"SELECT 1 FROM study_waits WHERE {waiting}", key).fetchone() is None:
                raise Conflict(f"the rule {wait.rule} does not wait for the study {wait.study} any more")
            _put(db, wait)

        return write

    def put(self, wait: StudyWait) -> None:
        """Write a wait as the Orthanc that leads; it is on disk when this returns.

        :raises Busy: the disk refuses it, or another Orthanc leads.
        """
        with self._store.transaction(leading=True) as db:
            _put(db, wait)

    def forget(self, waits: Collection[StudyWait]) -> None:
        """Delete waits whose studies are gone, as the Orthanc that leads."""
        with self._store.transaction(leading=True) as db:
            for wait in waits:
                db.execute("DELETE FROM study_waits WHERE rule = ? AND study = ?", [wait.rule, wait.study])

    def keep_only(self, rules: Collection[str]) -> None:
        """Delete the waits of all other rules, which are no longer configured or do not wait."""
        self.forget([wait for wait in self._select("") if wait.rule not in rules])

    def all(self) -> list[StudyWait]:
        """All waits, oldest first."""
        return self._select("")

    def _select(self, condition: str, values: Sequence[Any] = ()) -> list[StudyWait]:
        with self._store.reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM study_waits {condition} ORDER BY since, study", values)
            return [_wait(row) for row in rows.fetchall()]


def _put(db: Transaction, wait: StudyWait) -> None:
    missing = json.dumps({name: list(counts) for name, counts in (wait.missing or {}).items()})
    row = [wait.rule, wait.study, wait.since, wait.state.value, missing, wait.changed]
    db.execute("DELETE FROM study_waits WHERE rule = ? AND study = ?", [wait.rule, wait.study])
    db.execute(f"INSERT INTO study_waits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)


def _wait(row: Sequence[Any]) -> StudyWait:
    rule, study, since, state, missing, changed = row
    counts = {name: (there, wanted) for name, (there, wanted) in json.loads(missing).items()}
    return StudyWait(rule, study, since, WaitState(state), counts, changed)
