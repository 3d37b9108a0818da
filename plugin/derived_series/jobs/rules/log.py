"""What rules have fired for, and what they still have to look at; in the database of the jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.rules.evaluate import Firing

_COLUMNS = "rule, digest, subject, job, inputs, chain, depth, time"


@dataclass(frozen=True, slots=True)
class Fired:
    """A firing and its job. ``time`` is in seconds since 1970."""

    firing: Firing
    job: str
    time: float

    def to_json(self) -> dict[str, Any]:
        """What the provenance of the derived series says of it."""
        firing = self.firing
        return {
            "Name": firing.rule,
            "Chain": list(firing.chain),
            "Depth": firing.depth,
            "Subject": firing.subject,
            "Digest": firing.digest,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """How far Orthanc's changes have been read.

    :param seen: all series that became stable up to there are done or among the waiting ones.
    :param settled: instances that came up to there are of series that have become stable since.
    """

    seen: int
    settled: int


class FiringLog:
    """Beside the jobs, so that a job and the firing that asked for it are written together or not at all."""

    def __init__(self, store: JobStore):
        self._store = store

    def note(self, fired: Fired) -> Note:
        """What writes a firing; for ``JobRunner.submit(along=...)``."""
        firing = fired.firing
        row = [
            *(firing.rule, firing.digest, firing.subject, fired.job),
            *(json.dumps(dict(firing.inputs)), json.dumps(firing.chain), firing.depth, fired.time),
        ]
        return lambda db: db.execute(f"INSERT INTO firings ({_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)

    def find(self, rule: str, digest: str) -> Fired | None:
        """The firing of a rule for these instances."""
        return next(iter(self._select("WHERE rule = ? AND digest = ?", [rule, digest])), None)

    def of_job(self, job: str) -> Fired | None:
        """The firing that asked for a job."""
        return next(iter(self._select("WHERE job = ?", [job])), None)

    def replaced_by(self, fired: Fired) -> list[str]:
        """The jobs of all other firings on the same subject, whether they are remembered or not."""
        return [each.job for each in self._select("WHERE subject = ?", [fired.firing.subject]) if each.job != fired.job]

    def before(self, when: float) -> list[Fired]:
        """The firings of a time before, the oldest first."""
        return self._select("WHERE time < ?", [when])

    def forget(self, fired: Iterable[Fired]) -> None:
        """Forget firings: for the same instances, their rules would fire again."""
        with self._store.transaction() as db:
            db.executemany("DELETE FROM firings WHERE job = ?", [(each.job,) for each in fired])

    def summary(self) -> dict[str, tuple[int, Fired]]:
        """Rule -> how often it has fired, and the last time."""
        with self._store.reading() as db:
            counts = db.execute("SELECT rule, count(*), max(time) FROM firings GROUP BY rule").fetchall()
        last = {rule: self._select("WHERE rule = ? AND time = ?", [rule, time])[-1:] for rule, _, time in counts}
        return {rule: (count, last[rule][0]) for rule, count, _ in counts if last[rule]}

    def _select(self, condition: str, values: Sequence[Any]) -> list[Fired]:
        with self._store.reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM firings {condition} ORDER BY time", values).fetchall()
        return [_fired(row) for row in rows]

    # -- what is still to be looked at -------------------------------------------------------------------------

    def seen(self) -> Seen | None:
        """None: no changes were ever read."""
        with self._store.reading() as db:
            row = db.execute("SELECT seen, settled FROM seen_changes").fetchone()
        return None if row is None else Seen(*row)

    def see(self, seen: Seen, stable: Iterable[str]) -> None:
        """Changes were read; these series wait from now on. Written together or not at all."""
        with self._store.transaction(leading=True) as db:
            _put(db, stable)
            db.execute(
                "INSERT INTO seen_changes (one, seen, settled) VALUES (1, ?, ?) "
                "ON CONFLICT (one) DO UPDATE SET seen = excluded.seen, settled = excluded.settled",
                [seen.seen, seen.settled],
            )

    def forget_seen(self) -> None:
        """Without rules nothing is followed: later rules begin with what comes later."""
        with self._store.transaction(leading=True) as db:
            db.execute("DELETE FROM seen_changes")
            db.execute("DELETE FROM stable_series")

    def waiting(self) -> list[str]:
        """The series that wait, in the order in which they became stable."""
        with self._store.reading() as db:
            return [series for (series,) in db.execute("SELECT series FROM stable_series ORDER BY seq")]

    def done(self, series: str, along: Note | None = None) -> None:
        """The rules have seen this series. :param along: is called in the same transaction."""
        with self._store.transaction(leading=True) as db:
            if along is not None:
                along(db)
            db.execute("DELETE FROM stable_series WHERE series = ?", [series])


def _put(db: Transaction, stable: Iterable[str]) -> None:
    db.executemany(
        "INSERT INTO stable_series (series) VALUES (?) ON CONFLICT DO NOTHING", [(series,) for series in stable]
    )


def _fired(row: Sequence[Any]) -> Fired:
    rule, digest, subject, job, inputs, chain, depth, time = row
    return Fired(Firing(rule, json.loads(inputs), subject, digest, tuple(json.loads(chain)), depth), job, time)
