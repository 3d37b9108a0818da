"""The schema of the jobs database, and how to update that of an older version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

#: The version of the schema. Newer ones are refused. Adding a table does not need a new version.
VERSION = 2


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences between databases.

    :param counter: the type of a column that numbers the rows in order.
    :param bytes: the type of a column of bytes.
    """

    counter: str
    bytes: str


#: The columns of ``jobs``: the fields of ``JobRecord`` (some under older names), then values extracted from its JSON.
JOB_COLUMNS: Mapping[str, str] = {
    "id": "TEXT NOT NULL UNIQUE",
    "series": "TEXT",
    "request": "TEXT",
    "image": "TEXT",
    "subject": "TEXT",
    "digest": "TEXT",
    "created": "DOUBLE PRECISION",
    "priority": "BIGINT",
    "state": "TEXT",
    "attempt": "BIGINT",
    "progress": "BIGINT",
    "next_try": "DOUBLE PRECISION",
    "started": "DOUBLE PRECISION",
    "completed": "DOUBLE PRECISION",
    "runtime": "DOUBLE PRECISION",
    "dirty": "BIGINT",
    "problem": "TEXT",
    "result": "TEXT",
    "lost": "BIGINT DEFAULT 0",
    "pipeline": "TEXT",
    "replaces": "BIGINT DEFAULT 0",
    "preview": "BIGINT DEFAULT 0",
    "verdict": "TEXT",
    "made": "TEXT DEFAULT ''",
    "held": "BIGINT DEFAULT 0",
    "undelivered": "BIGINT DEFAULT 0",
}


def tables(dialect: Dialect) -> Iterator[str]:
    """The statements that create missing tables and indexes; they do not change a complete schema."""
    columns = ", ".join(f"{name} {kind}" for name, kind in JOB_COLUMNS.items())
    yield f"CREATE TABLE IF NOT EXISTS jobs (seq {dialect.counter}, {columns})"
    yield "CREATE INDEX IF NOT EXISTS by_state ON jobs (state, next_try)"
    yield "CREATE INDEX IF NOT EXISTS by_digest ON jobs (digest)"
    yield "CREATE INDEX IF NOT EXISTS by_subject ON jobs (subject)"
    yield "CREATE INDEX IF NOT EXISTS by_series ON jobs (series)"
    yield "CREATE TABLE IF NOT EXISTS acts (job TEXT NOT NULL, act TEXT NOT NULL, seq BIGINT)"
    yield "CREATE INDEX IF NOT EXISTS acts_by_job ON acts (job)"
    yield "CREATE TABLE IF NOT EXISTS verdicts (series TEXT PRIMARY KEY, verdict TEXT NOT NULL)"
    yield "CREATE TABLE IF NOT EXISTS leftovers (job TEXT PRIMARY KEY)"
    yield "CREATE TABLE IF NOT EXISTS cancellations (job TEXT PRIMARY KEY)"
    yield (
        "CREATE TABLE IF NOT EXISTS completions (job TEXT PRIMARY KEY, attempt BIGINT NOT NULL, series TEXT NOT NULL, "
        "began DOUBLE PRECISION NOT NULL, settled BIGINT NOT NULL, closed BIGINT NOT NULL)"
    )
    yield (
        "CREATE TABLE IF NOT EXISTS series_numbers (job TEXT PRIMARY KEY, study TEXT NOT NULL, "
        "number BIGINT NOT NULL, count BIGINT NOT NULL DEFAULT 1)"
    )
    yield (
        "CREATE TABLE IF NOT EXISTS firings (rule TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT NOT NULL, "
        "job TEXT NOT NULL UNIQUE, inputs TEXT NOT NULL, chain TEXT NOT NULL, depth BIGINT NOT NULL, "
        "time DOUBLE PRECISION NOT NULL, options TEXT NOT NULL DEFAULT '[]', seq BIGINT NOT NULL DEFAULT 0, "
        "PRIMARY KEY (rule, digest))"
    )
    yield "CREATE INDEX IF NOT EXISTS firings_by_subject ON firings (subject)"
    yield f"CREATE TABLE IF NOT EXISTS stable_series (seq {dialect.counter}, series TEXT NOT NULL UNIQUE)"
    yield (
        f"CREATE TABLE IF NOT EXISTS notices (seq {dialect.counter}, id TEXT NOT NULL, receiver TEXT NOT NULL, "
        "fields TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, attempts BIGINT NOT NULL DEFAULT 0, "
        "next_try DOUBLE PRECISION NOT NULL DEFAULT 0)"
    )
    yield "CREATE INDEX IF NOT EXISTS notices_by_receiver ON notices (receiver, seq)"
    yield (
        "CREATE TABLE IF NOT EXISTS notice_counts (receiver TEXT PRIMARY KEY, sent BIGINT NOT NULL DEFAULT 0, "
        "given_up BIGINT NOT NULL DEFAULT 0)"
    )
    yield (
        "CREATE TABLE IF NOT EXISTS seen_changes (one BIGINT PRIMARY KEY CHECK (one = 1), seen BIGINT, settled BIGINT)"
    )


def shared_tables(dialect: Dialect) -> Iterator[str]:
    """The statements for the additional tables of several Orthancs, which a single one has as files or in memory."""
    yield (
        f"CREATE TABLE IF NOT EXISTS images (job TEXT NOT NULL, place BIGINT NOT NULL, bytes {dialect.bytes} NOT NULL, "
        "PRIMARY KEY (job, place))"
    )
    yield (
        f"CREATE TABLE IF NOT EXISTS logs (job TEXT NOT NULL, place BIGINT NOT NULL, bytes {dialect.bytes} NOT NULL, "
        "PRIMARY KEY (job, place))"
    )
    yield (f"CREATE TABLE IF NOT EXISTS reports (run TEXT PRIMARY KEY, bytes {dialect.bytes} NOT NULL)")
    yield (
        "CREATE TABLE IF NOT EXISTS progress (job TEXT PRIMARY KEY, attempt BIGINT NOT NULL, percent BIGINT NOT NULL, "
        "phase TEXT NOT NULL, text TEXT NOT NULL)"
    )


def lacking(there: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    """The columns that tables of an older version lack, as (table, column definition).

    :param there: the columns of each table, by the table's name.
    """
    wanted = {
        "jobs": JOB_COLUMNS,
        "acts": {"seq": "BIGINT"},
        "series_numbers": {"count": "BIGINT NOT NULL DEFAULT 1"},
        "firings": {"options": "TEXT NOT NULL DEFAULT '[]'", "seq": "BIGINT NOT NULL DEFAULT 0"},
    }
    for table, columns in wanted.items():
        known = set(there.get(table, ()))
        for name, kind in columns.items() if known else ():
            if name not in known:
                yield table, f"{name} {kind}"
