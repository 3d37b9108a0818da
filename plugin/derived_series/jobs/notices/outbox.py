"""Outbox: the notices still to be sent to each receiver, in order, in the jobs database."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from derived_series.errors import Busy
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.database import Transaction
from derived_series.jobs.queue.store import JobStore

_log = logging.getLogger(__name__)

#: The most notices that wait for one receiver; beyond that the oldest are given up.
MOST_WAITING = 10_000


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to one receiver.

    :param id: the identifier of the event, the same in every attempt and for every receiver.
    :param fields: the fields from which the body is made.
    :param created: seconds since 1970, like ``next_try``.
    :param number: its position in the receiver's order.
    """

    id: str
    receiver: str
    fields: Mapping[str, Any]
    created: float
    attempts: int = 0
    next_try: float = 0.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one receiver. :param oldest: when the oldest waiting notice was written, seconds since 1970."""

    waiting: int = 0
    oldest: float | None = None
    sent: int = 0
    given_up: int = 0


class Outbox:
    """Notices, each committed together with what it is about, and kept until its receiver has taken it.

    :param receivers: the configured receivers; notices to others are given up.
    :param most: the most notices that may wait for one of them.
    """

    def __init__(self, store: JobStore, receivers: Iterable[str], most: int = MOST_WAITING):
        self._store = store
        self._most = most
        self._receivers = tuple(receivers)
        with store.transaction() as db:
            rows = db.execute("SELECT receiver, count(*) FROM notices GROUP BY receiver").fetchall()
            gone = {receiver: count for receiver, count in rows if receiver not in self._receivers}
            for receiver, count in gone.items():
                db.execute("DELETE FROM notices WHERE receiver = ?", [receiver])
                _count(db, receiver, given_up=count)
        for receiver, count in gone.items():
            _log.warning("%d notices are given up: the receiver %s is not in Notify any more", count, receiver)

    def put(self, db: Transaction, notices: Sequence[Notice]) -> None:
        """Write notices, in the transaction of what they are about."""
        for notice in notices:
            db.execute(
                "INSERT INTO notices (id, receiver, fields, created) VALUES (?, ?, ?, ?)",
                [notice.id, notice.receiver, json_bytes(dict(notice.fields)).decode(), notice.created],
            )
        for receiver in {notice.receiver for notice in notices}:
            waiting = db.execute("SELECT count(*) FROM notices WHERE receiver = ?", [receiver]).fetchone()[0]
            if (many := waiting - self._most) > 0:
                rows = db.execute("SELECT seq FROM notices WHERE receiver = ? ORDER BY seq LIMIT ?", [receiver, many])
                for (seq,) in rows.fetchall():
                    db.execute("DELETE FROM notices WHERE seq = ?", [seq])
                _count(db, receiver, given_up=many)
                _log.error("the receiver %s is given up the oldest notices: more than %d wait", receiver, self._most)

    def first(self, receiver: str) -> Notice | None:
        """The next notice to a receiver; None if there is none."""
        with self._store.reading() as db:
            row = db.execute(
                "SELECT id, receiver, fields, created, attempts, next_try, seq FROM notices "
                "WHERE receiver = ? ORDER BY seq LIMIT 1",
                [receiver],
            ).fetchone()
        return None if row is None else Notice(row[0], row[1], json.loads(row[2]), *row[3:])

    def sent(self, notice: Notice) -> None:
        """Record that a receiver has taken a notice. :raises Busy: the disk refuses that."""
        self._remove(notice, sent=1)

    def give_up(self, notice: Notice) -> None:
        """Record that a receiver will never take a notice. :raises Busy: the disk refuses that."""
        self._remove(notice, given_up=1)

    def _remove(self, notice: Notice, *, sent: int = 0, given_up: int = 0) -> None:
        with self._store.transaction() as db:
            if db.execute("DELETE FROM notices WHERE seq = ?", [notice.number]).rowcount:
                _count(db, notice.receiver, sent=sent, given_up=given_up)

    def postpone(self, notice: Notice, next_try: float) -> None:
        """Record that a notice is tried again. :raises Busy: the disk refuses that."""
        with self._store.transaction() as db:
            db.execute(
                "UPDATE notices SET attempts = ?, next_try = ? WHERE seq = ?",
                [notice.attempts + 1, next_try, notice.number],
            )

    def tallies(self) -> dict[str, Tally]:
        """The counts of each configured receiver, by name; empty if the disk does not answer."""
        try:
            with self._store.transaction() as db:
                waiting = db.execute(
                    "SELECT receiver, count(*), min(created) FROM notices GROUP BY receiver"
                ).fetchall()
                counts = db.execute("SELECT receiver, sent, given_up FROM notice_counts").fetchall()
        except Busy:
            waiting, counts = [], []
        now = {receiver: (count, oldest) for receiver, count, oldest in waiting}
        ever = {receiver: (sent, given_up) for receiver, sent, given_up in counts}
        return {name: Tally(*now.get(name, (0, None)), *ever.get(name, (0, 0))) for name in self._receivers}


def _count(db: Transaction, receiver: str, *, sent: int = 0, given_up: int = 0) -> None:
    db.execute(
        "INSERT INTO notice_counts (receiver, sent, given_up) VALUES (?, ?, ?) ON CONFLICT (receiver) DO UPDATE SET "
        "sent = notice_counts.sent + excluded.sent, given_up = notice_counts.given_up + excluded.given_up",
        [receiver, sent, given_up],
    )
