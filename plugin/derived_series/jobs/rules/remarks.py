"""Remarks: what rules did or did not do besides firing, in words for administrators, in the jobs database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from derived_series.jobs.queue.store import JobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rule_remarks (
    rule TEXT NOT NULL, time DOUBLE PRECISION NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL
)
"""

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
            db.execute("CREATE INDEX IF NOT EXISTS rule_remarks_by_rule ON rule_remarks (rule, time)")

    def put(self, rule: str, path: str, text: str) -> bool:
        """Write a remark; False if the last one on the same path says the same."""
        now = time.time()
        with self._store.transaction() as db:
            last = db.execute(
                "SELECT text FROM rule_remarks WHERE rule = ? AND path = ? ORDER BY time DESC LIMIT 1", [rule, path]
            ).fetchone()
            if last is not None and last[0] == text:
                return False
            db.execute("INSERT INTO rule_remarks VALUES (?, ?, ?, ?)", [rule, now, path, text])
            kept = db.execute(
                "SELECT time FROM rule_remarks WHERE rule = ? ORDER BY time DESC LIMIT 1 OFFSET ?",
                [rule, _KEPT_REMARKS],
            ).fetchone()
            if kept is not None:
                db.execute("DELETE FROM rule_remarks WHERE rule = ? AND time <= ?", [rule, kept[0]])
        return True

    def of_rule(self, rule: str, most: int) -> list[Remark]:
        """The newest remarks of a rule, newest first."""
        with self._store.reading() as db:
            rows: Sequence[Any] = db.execute(
                "SELECT rule, path, text, time FROM rule_remarks WHERE rule = ? ORDER BY time DESC LIMIT ?",
                [rule, most],
            ).fetchall()
        return [Remark(*row) for row in rows]
