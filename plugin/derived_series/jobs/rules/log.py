"""FiringLog: the firings of rules, and the series that rules still have to look at, in the jobs database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.rules.evaluate import Firing

_COLUMNS = "rule, digest, subject, job, inputs, chain, depth, time, options, seq"


@dataclass(frozen=True, slots=True)
class Fired:
    """A firing with its job.

    :param time: seconds since 1970. :param seq: counts the jobs accepted, as the clock may be set back; 0: not known.
    """

    firing: Firing
    job: str
    time: float
    seq: int = 0

    def replaces(self, other: Fired) -> bool:
        """Whether its result takes the place of the other's: that of an earlier firing without other options."""
        if self.firing.subject != other.firing.subject or self.job == other.job:
            return False
        is_later = (other.seq, other.time) < (self.seq, self.time)
        return is_later and other.firing.options <= self.firing.options

    def to_json(self) -> dict[str, Any]:
        """The firing as JSON, for the provenance of the derived series."""
        firing = self.firing
        return {
            "Name": firing.rule,
            "Chain": list(firing.chain),
            "Depth": firing.depth,
            "Subject": firing.subject,
            "Digest": firing.digest,
            **({"Options": sorted(firing.options)} if firing.options else {}),
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """How far Orthanc's log of changes has been read.

    :param seen: all series that became stable up to this change are done or waiting.
    :param settled: all instances up to this change belong to series that have become stable since.
    """

    seen: int
    settled: int


class FiringLog:
    """Stored with the jobs, so that a job and its firing are written together or not at all."""

    def __init__(self, store: JobStore):
        self._store = store

    def note(self, fired: Fired) -> Note:
        """A note that writes a firing; for ``JobRunner.submit(along=...)``."""
        firing = fired.firing
        row = [
            *(firing.rule, firing.digest, firing.subject, fired.job),
            *(json.dumps(dict(firing.inputs)), json.dumps(firing.chain), firing.depth, fired.time),
            *(json.dumps(sorted(firing.options)), fired.job),
        ]
        seq = "coalesce((SELECT seq FROM jobs WHERE id = ?), 0)"
        marks = ", ".join([*("?" * (len(row) - 1)), seq])
        return lambda db: db.execute(f"INSERT INTO firings ({_COLUMNS}) VALUES ({marks})", row)

    def find(self, rule: str, digest: str) -> Fired | None:
        """The firing of a rule for these instances; None if it has not fired."""
        return next(iter(self._select("WHERE rule = ? AND digest = ?", [rule, digest])), None)

    def of_job(self, job_id: str) -> Fired | None:
        """The firing that requested a job; None if there is none."""
        return next(iter(self._select("WHERE job = ?", [job_id])), None)

    def replaced_by(self, fired: Fired) -> list[str]:
        """The jobs of the firings that a firing replaces, whether their records still exist or not."""
        return [each.job for each in self._on_subject_of(fired) if fired.replaces(each)]

    def kept_beside(self, fired: Fired) -> list[str]:
        """The jobs of the firings with the same subject that a firing does not replace."""
        return [each.job for each in self._on_subject_of(fired) if not fired.replaces(each)]

    def _on_subject_of(self, fired: Fired) -> list[Fired]:
        return self._select("WHERE subject = ?", [fired.firing.subject])

    def before(self, when: float) -> list[Fired]:
        """The firings before a time, oldest first."""
        return self._select("WHERE time < ?", [when])

    def forget(self, fired: Iterable[Fired]) -> None:
        """Delete firings; their rules would fire again for the same instances."""
        with self._store.transaction() as db:
            db.executemany("DELETE FROM firings WHERE job = ?", [(each.job,) for each in fired])

    def summary(self) -> dict[str, tuple[int, Fired]]:
        """The number of firings and the last one, by rule."""
        with self._store.reading() as db:
            counts = db.execute("SELECT rule, count(*), max(time) FROM firings GROUP BY rule").fetchall()
        last = {rule: self._select("WHERE rule = ? AND time = ?", [rule, time])[-1:] for rule, _, time in counts}
        return {rule: (count, last[rule][0]) for rule, count, _ in counts if last[rule]}

    def _select(self, condition: str, values: Sequence[Any]) -> list[Fired]:
        with self._store.reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM firings {condition} ORDER BY seq, time", values).fetchall()
        return [_fired(row) for row in rows]

    # -- series still to be looked at ---------------------------------------------------------------------------

    def seen(self) -> Seen | None:
        """How far the changes have been read; None if never."""
        with self._store.reading() as db:
            row = db.execute("SELECT seen, settled FROM seen_changes").fetchone()
        return None if row is None else Seen(*row)

    def see(self, seen: Seen, stable: Iterable[str]) -> None:
        """Record that changes were read and these series wait, together or not at all."""
        with self._store.transaction(leading=True) as db:
            _put(db, stable)
            db.execute(
                "INSERT INTO seen_changes (one, seen, settled) VALUES (1, ?, ?) "
                "ON CONFLICT (one) DO UPDATE SET seen = excluded.seen, settled = excluded.settled",
                [seen.seen, seen.settled],
            )

    def forget_seen(self) -> None:
        """Forget how far changes were read, as new rules begin with later changes."""
        with self._store.transaction(leading=True) as db:
            db.execute("DELETE FROM seen_changes")
            db.execute("DELETE FROM stable_series")

    def waiting(self) -> list[str]:
        """The waiting series, in the order in which they became stable."""
        with self._store.reading() as db:
            return [series for (series,) in db.execute("SELECT series FROM stable_series ORDER BY seq")]

    def done(self, series: str, along: Note | None = None) -> None:
        """Record that the rules have looked at a series. :param along: called in the same transaction."""
        with self._store.transaction(leading=True) as db:
            if along is not None:
                along(db)
            db.execute("DELETE FROM stable_series WHERE series = ?", [series])


def _put(db: Transaction, stable: Iterable[str]) -> None:
    db.executemany(
        "INSERT INTO stable_series (series) VALUES (?) ON CONFLICT DO NOTHING", [(series,) for series in stable]
    )


def _fired(row: Sequence[Any]) -> Fired:
    rule, digest, subject, job, inputs, chain, depth, time, options, seq = row
    firing = Firing(
        *(rule, json.loads(inputs), subject, digest, tuple(json.loads(chain)), depth, frozenset(json.loads(options)))
    )
    return Fired(firing, job, time, seq)
