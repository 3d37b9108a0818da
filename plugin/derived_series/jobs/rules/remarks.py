"""Remarks: what rules did or did not do besides firing, in words for administrators, in the jobs database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from derived_series.jobs.queue.store import JobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS numbered_remarks (
    rule TEXT NOT NULL, time DOUBLE PRECISION NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL, seq BIGINT NOT NULL
)
"""

#: The table of older versions, which may still write to it beside this one.
_FORMER_SCHEMA = """
CREATE TABLE IF NOT EXISTS rule_remarks (
    rule TEXT NOT NULL, time DOUBLE PRECISION NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL
)
"""

#: In the order in which they were written: their numbers, as the clock may be set back. Those of older versions have 0.
_NEWEST_FIRST = "ORDER BY seq DESC, time DESC"

#: The number of remarks that are kept for each rule.
_KEPT_REMARKS = 50


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about what a rule did with a series or study, without values of tags or numbers of pipelines.

    :param path: ``/series/{id}`` or ``/studies/{id}``. :param time: seconds since 1970.
    """

    rule: str
    path: str
    text: str
    time: float

    def to_json(self) -> dict[str, Any]:
        return {"Time": datetime.fromtimestamp(self.time, UTC).isoformat(), "Path": self.path, "Text": self.text}


class Remarks:
    """The newest remarks of each rule."""

    def __init__(self, store: JobStore):
        self._store = store
        with store.transaction() as db:
            db.execute(_SCHEMA)
            db.execute("CREATE INDEX IF NOT EXISTS numbered_remarks_by_rule ON numbered_remarks (rule, seq)")
            db.execute(_FORMER_SCHEMA)
            db.execute("INSERT INTO numbered_remarks SELECT rule, time, path, text, 0 FROM rule_remarks")
            db.execute("DELETE FROM rule_remarks")

    def put(self, rule: str, path: str, text: str) -> bool:
        """Write a remark; False if the last one on the same path says the same."""
        now = time.time()
        with self._store.transaction() as db:
            last = db.execute(
                f"SELECT text FROM numbered_remarks WHERE rule = ? AND path = ? {_NEWEST_FIRST} LIMIT 1", [rule, path]
            ).fetchone()
            if last is not None and last[0] == text:
                return False
            db.execute(
                "INSERT INTO numbered_remarks (rule, time, path, text, seq) VALUES (?, ?, ?, ?, "
                "(SELECT coalesce(max(seq), 0) + 1 FROM numbered_remarks WHERE rule = ?))",
                [rule, now, path, text, rule],
            )
            oldest = db.execute(
                f"SELECT seq, time FROM numbered_remarks WHERE rule = ? {_NEWEST_FIRST} LIMIT 1 OFFSET ?",
                [rule, _KEPT_REMARKS],
            ).fetchone()
            if oldest is not None:
                seq, when = oldest
                db.execute(
                    "DELETE FROM numbered_remarks WHERE rule = ? AND (seq < ? OR (seq = ? AND time <= ?))",
                    [rule, seq, seq, when],
                )
        return True

    def of_rule(self, rule: str, most: int) -> list[Remark]:
        """The newest remarks of a rule, newest first."""
        with self._store.reading() as db:
            rows: Sequence[Any] = db.execute(
                f"SELECT rule, path, text, time FROM numbered_remarks WHERE rule = ? {_NEWEST_FIRST} LIMIT ?",
                [rule, most],
            ).fetchall()
        return [Remark(*row) for row in rows]
