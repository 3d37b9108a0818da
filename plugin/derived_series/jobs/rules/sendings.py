"""Sendings: the series that rules have sent on, in the jobs database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.store import JobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sendings (
    rule TEXT NOT NULL, digest TEXT NOT NULL, series TEXT NOT NULL, job TEXT NOT NULL, destinations TEXT NOT NULL,
    time DOUBLE PRECISION NOT NULL, PRIMARY KEY (rule, digest)
)
"""
_COLUMNS = "rule, digest, series, job, destinations, time"


@dataclass(frozen=True, slots=True)
class Sending:
    """A series that a rule has sent on.

    :param digest: the digest of its instances; a rule sends each once.
    :param series: its Orthanc identifier.
    :param job: the job that made it and delivers it.
    :param time: seconds since 1970.
    """

    rule: str
    digest: str
    series: str
    job: str
    destinations: tuple[str, ...]
    time: float


class Sendings:
    """Stored with the jobs, so that a job's new destination and the sending are written together or not at all."""

    def __init__(self, store: JobStore):
        self._store = store
        with store.transaction() as db:
            db.execute(_SCHEMA)

    def note(self, sending: Sending) -> Note:
        """A note that writes a sending."""
        destinations = json.dumps(sending.destinations)
        row = [sending.rule, sending.digest, sending.series, sending.job, destinations, sending.time]

        def write(db: Transaction) -> None:
            db.execute(f"INSERT INTO sendings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)

        return write

    def find(self, rule: str, digest: str) -> Sending | None:
        """The sending of a rule for these instances; None if there is none."""
        return next(iter(self._select("WHERE rule = ? AND digest = ? ORDER BY time", [rule, digest])), None)

    def summary(self) -> dict[str, tuple[int, Sending]]:
        """The number of sendings and the last one, by rule."""
        by_rule: dict[str, tuple[int, Sending]] = {}
        with self._store.reading() as db:
            counts = dict(db.execute("SELECT rule, count(*) FROM sendings GROUP BY rule").fetchall())
        for rule, count in counts.items():
            for last in self._select("WHERE rule = ? ORDER BY time DESC LIMIT 1", [rule]):
                by_rule[rule] = (count, last)
        return by_rule

    def before(self, when: float) -> list[Sending]:
        """The sendings before a time, oldest first."""
        return self._select("WHERE time < ? ORDER BY time", [when])

    def forget(self, sendings: Iterable[Sending]) -> None:
        """Delete sendings whose series are gone."""
        with self._store.transaction() as db:
            for each in sendings:
                db.execute("DELETE FROM sendings WHERE rule = ? AND digest = ?", [each.rule, each.digest])

    def _select(self, condition: str, values: Sequence[Any]) -> list[Sending]:
        with self._store.reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM sendings {condition}", values).fetchall()
        return [_sending(row) for row in rows]


def _sending(row: Sequence[Any]) -> Sending:
    rule, digest, series, job, destinations, time = row
    return Sending(rule, digest, series, job, tuple(json.loads(destinations)), time)
