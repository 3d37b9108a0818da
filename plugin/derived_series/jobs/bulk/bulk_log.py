"""BulkLog: the runs over many series and their members, in the jobs database, so that each job is begun only once.

Users change a run at any Orthanc. What the thread of runs writes, only the Orthanc that leads may write. Each change is
made to the record as it is then: users, ends of jobs and comparisons do not undo each other's changes.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from derived_series.errors import Conflict, NotFound
from derived_series.jobs.bulk.bulk_run import BulkRun, Decision, Member, MemberState, RunState
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import State

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bulk_runs (
    id TEXT PRIMARY KEY, created DOUBLE PRECISION NOT NULL, state TEXT NOT NULL, document TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS bulk_members (
    run TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, job TEXT,
    submitted DOUBLE PRECISION, completed DOUBLE PRECISION, decision TEXT, uncompared INTEGER NOT NULL,
    agrees INTEGER, document TEXT NOT NULL, PRIMARY KEY (run, number)
);
CREATE TABLE IF NOT EXISTS bulk_former_submissions (run TEXT NOT NULL, submitted DOUBLE PRECISION NOT NULL);
CREATE INDEX IF NOT EXISTS bulk_former_submissions_by_time ON bulk_former_submissions (run, submitted);
CREATE INDEX IF NOT EXISTS bulk_members_by_state ON bulk_members (run, state, number);
CREATE INDEX IF NOT EXISTS bulk_members_by_submission ON bulk_members (run, submitted);
CREATE INDEX IF NOT EXISTS bulk_members_by_end ON bulk_members (run, completed);
CREATE INDEX IF NOT EXISTS bulk_members_by_decision ON bulk_members (decision);
CREATE INDEX IF NOT EXISTS bulk_members_to_compare ON bulk_members (run, number) WHERE uncompared = 1;
CREATE INDEX IF NOT EXISTS bulk_members_by_job ON bulk_members (job)
"""
_MEMBER_COLUMNS = ("number", "state", "job", "submitted", "completed", "decision", "uncompared", "agrees", "document")
#: A limit above the number of members in any run.
_MOST_MEMBERS = 10_000_000
#: The number of members that are read at once.
_PAGE_MEMBERS = 1000
_OVER = ", ".join(f"'{state.value}'" for state in MemberState if state.is_over)
_UNDECIDED = f"decision IN ('{Decision.REPLACE.value}', '{Decision.DISCARD.value}')"


class BulkLog:
    """Stored with the jobs, so that a job and its member are written together or not at all."""

    def __init__(self, store: JobStore):
        self._store = store
        with store.transaction() as db:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)

    # -- runs --------------------------------------------------------------------------------------------------

    def add(self, run: BulkRun) -> None:
        """Accept a run; it is on disk when this returns. :raises Busy: the disk refuses it."""
        with self._store.transaction() as db:
            db.execute("INSERT INTO bulk_runs VALUES (?, ?, ?, ?)", _run_row(run))

    def change(self, run_id: str, change: Callable[[BulkRun], BulkRun], *, leading: bool = False) -> BulkRun:
        """Replace a run's record by the result of ``change``, atomically.

        :param leading: whether only the Orthanc that leads may do so.
        :raises NotFound: no such run.
        """
        with self._store.transaction(leading=leading) as db:
            return _change(db, run_id, change)

    def end(self, run_id: str, change: Callable[[BulkRun], BulkRun]) -> bool:
        """Replace the record of a run that goes on without an open member, as the Orthanc that leads.

        :returns: False if a member is open again, or the run does not go on; nothing was written.
        :raises NotFound: the run was deleted meanwhile.
        """
        with self._store.transaction(leading=True) as db:
            if _is_open(db, run_id) or _read(db, run_id).state is not RunState.RUNNING:
                return False
            _change(db, run_id, change)
            return True

    def is_open(self, run_id: str) -> bool:
        """Whether a member of a run waits, has a job that is not over, or is to be compared."""
        with self._store.reading() as db:
            return _is_open(db, run_id)

    def get(self, run_id: str) -> BulkRun:
        """The record of a run. :raises NotFound: there is no such run."""
        runs = self._runs("WHERE id = ?", [run_id])
        if not runs:
            raise _no_run(run_id)
        return runs[0]

    def runs(self, since: int = 0, limit: int = 100) -> list[BulkRun]:
        """A page of runs, newest first."""
        return self._runs("ORDER BY created DESC, id LIMIT ? OFFSET ?", [limit, since])

    def open_runs(self) -> list[BulkRun]:
        """The runs that are not over, oldest first."""
        over = [state.value for state in RunState if state.is_over]
        return self._runs(f"WHERE state NOT IN ({', '.join('?' * len(over))}) ORDER BY created, id", over)

    def delete(self, run_id: str) -> None:
        """Delete a run and its members; its jobs and series stay.

        :raises NotFound: no such run. :raises Conflict: it is not over, or a decision is not carried out yet.
        """
        with self._store.transaction() as db:
            if not _read(db, run_id).state.is_over:
                raise Conflict(f"the run {run_id} is not over", remedy="cancel it first")
            condition = f"run = ? AND {_UNDECIDED}"
            (count,) = db.execute(f"SELECT count(*) FROM bulk_members WHERE {condition}", [run_id]).fetchone()
            if count:
                raise Conflict(
                    f"what was decided about {count} members of the run {run_id} is not carried out yet",
                    remedy="try again in a moment; if it stays so, Orthanc's log says what is in the way",
                )
            for table in ("bulk_members", "bulk_former_submissions"):
                db.execute(f"DELETE FROM {table} WHERE run = ?", [run_id])
            db.execute("DELETE FROM bulk_runs WHERE id = ?", [run_id])

    def _runs(self, condition: str, values: Sequence[Any] = ()) -> list[BulkRun]:
        with self._store.reading() as db:
            rows = db.execute(f"SELECT document FROM bulk_runs {condition}", values).fetchall()
        return [_run(document) for (document,) in rows]

    # -- members -----------------------------------------------------------------------------------------------

    def put(self, run_id: str, members: Iterable[Member], change: Callable[[BulkRun], BulkRun]) -> bool:
        """Write all members of a run and its new record, as the Orthanc that leads.

        :returns: False if another search has written them already; nothing was written.
        :raises NotFound: the run was deleted meanwhile.
        """
        rows = [(run_id, *_member_row(member)) for member in members]
        columns = ", ".join(("run", *_MEMBER_COLUMNS))
        marks = ", ".join("?" * (1 + len(_MEMBER_COLUMNS)))
        with self._store.transaction(leading=True) as db:
            if _read(db, run_id).has_members:
                return False
            _change(db, run_id, change)
            db.executemany(f"INSERT INTO bulk_members ({columns}) VALUES ({marks})", rows)
            return True

    def submission(self, run_id: str, member: Member) -> Note:
        """A note that writes a member with its job; for ``JobRunner.submit(along=...)``.

        It raises ``Conflict`` unless the run goes on and the member waits: then another Orthanc has begun its job, or a
        user has paused or cancelled the run.
        """

        def write(db: Transaction) -> None:
            waiting = "EXISTS (SELECT 1 FROM bulk_runs AS its WHERE its.id = run AND its.state = ?) AND state = ?"
            states = [RunState.RUNNING.value, MemberState.WAITING.value]
            if not _write(db, run_id, member, waiting, states):
                raise Conflict(f"the member {member.number} of the run {run_id} does not wait for a job any more")

        return write

    def revise(self, run_id: str, numbers: Iterable[int], change: Callable[[Member], Member]) -> None:
        """Replace the records of members by the results of ``change``, atomically, as the Orthanc that leads.

        A run that was done goes on if there is something to compare by then.
        """
        with self._store.transaction(leading=True) as db:
            for number in numbers:
                row = db.execute(
                    f"SELECT {', '.join(_MEMBER_COLUMNS)} FROM bulk_members WHERE run = ? AND number = ?",
                    [run_id, number],
                ).fetchone()
                if row is not None and (revised := change(_member(row))) != _member(row):
                    _write(db, run_id, revised)
            _go_on_comparing(db, run_id)

    def members(self, run_id: str, since: int = 0, limit: int = 100) -> list[Member]:
        """A page of members, by number."""
        return self._members("run = ? ORDER BY number LIMIT ? OFFSET ?", [run_id, limit, since])

    def all_members(self, run_id: str) -> Iterator[Member]:
        """All members by number, read page by page."""
        for since in itertools.count(0, _PAGE_MEMBERS):
            page = self.members(run_id, since, _PAGE_MEMBERS)
            if not page:
                return
            yield from page

    def member(self, run_id: str, number: int) -> Member | None:
        """The member with a number; None if there is none."""
        return next(iter(self._members("run = ? AND number = ?", [run_id, number])), None)

    def in_state(self, run_id: str, state: MemberState, limit: int = _MOST_MEMBERS) -> list[Member]:
        """The first members in a state."""
        return self._members("run = ? AND state = ? ORDER BY number LIMIT ?", [run_id, state.value, limit])

    def uncompared(self, run_id: str, limit: int) -> list[Member]:
        """The first members that succeeded, have a reference and no figures yet."""
        return self._members("run = ? AND uncompared = 1 ORDER BY number LIMIT ?", [run_id, limit])

    def retry(self, run_id: str, change: Callable[[BulkRun], BulkRun]) -> BulkRun:
        """Make failed members wait again, and write the run's new record.

        One whose job has stored its series keeps that job, which only has to send them on.

        :raises NotFound: no such run.
        """
        condition = f"run = ? AND state = '{MemberState.FAILURE.value}'"
        with self._store.transaction() as db:
            run = _change(db, run_id, change)
            db.execute(  # the jobs that have failed were begun within some hour, too
                "INSERT INTO bulk_former_submissions (run, submitted) "
                f"SELECT run, submitted FROM bulk_members WHERE {condition} AND submitted IS NOT NULL",
                [run_id],
            )
            rows = db.execute(f"SELECT {', '.join(_MEMBER_COLUMNS)} FROM bulk_members WHERE {condition}", [run_id])
            for member in map(_member, rows.fetchall()):
                job = member.job if member.derived else None
                _write(db, run_id, Member(member.number, member.series, job=job, **_asked(member)))
        return run

    def undecided(self) -> list[tuple[str, Member]]:
        """The members with a decision that is not carried out yet, each with its run."""
        with self._store.reading() as db:
            rows = db.execute(
                f"SELECT run, {', '.join(_MEMBER_COLUMNS)} FROM bulk_members WHERE {_UNDECIDED} ORDER BY run, number"
            ).fetchall()
        return [(run, _member(row)) for run, *row in rows]

    def made_again(self, besides: str = "") -> list[tuple[str, Member]]:
        """The members of runs with ``Again`` that have or will have a new series, each with its run.

        :param besides: a run to leave out.
        """
        runs = [run for run in self._runs("") if "Again" in run.request and run.id != besides]
        going_on = [MemberState.WAITING, MemberState.SUBMITTED]
        members = []
        for run in runs:
            states = [MemberState.SUCCESS, *([] if run.state.is_over else going_on)]
            members += [(run.id, member) for state in states for member in self.in_state(run.id, state)]
        return members

    def of_job(self, job_id: str) -> list[tuple[str, Member]]:
        """The members that a job belongs to, each with its run; several if runs share it."""
        with self._store.reading() as db:
            rows = db.execute(
                f"SELECT run, {', '.join(_MEMBER_COLUMNS)} FROM bulk_members WHERE job = ? ORDER BY run", [job_id]
            ).fetchall()
        return [(run, _member(row)) for run, *row in rows]

    def mended(self) -> list[tuple[str, Member]]:
        """The failed members whose jobs were run again and have succeeded, each with its run."""
        columns = ", ".join(f"bulk_members.{name}" for name in _MEMBER_COLUMNS)
        with self._store.reading() as db:
            rows = db.execute(
                f"SELECT bulk_members.run, {columns} FROM bulk_members JOIN jobs ON jobs.id = bulk_members.job "
                "WHERE bulk_members.state = ? AND jobs.state = ? ORDER BY bulk_members.run, bulk_members.number",
                [MemberState.FAILURE.value, State.SUCCESS.value],
            ).fetchall()
        return [(run, _member(row)) for run, *row in rows]

    def counts(self, run_id: str) -> dict[MemberState, int]:
        """The number of members in each state."""
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT state, count(*) FROM bulk_members WHERE run = ? GROUP BY state", [run_id]
            ).fetchall()
        counts = {MemberState(state): count for state, count in rows}
        return {state: counts.get(state, 0) for state in MemberState}

    def agreeing(self, run_id: str) -> dict[bool, int]:
        """The number of compared members, by whether they agree."""
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT agrees, count(*) FROM bulk_members WHERE run = ? AND agrees IS NOT NULL GROUP BY agrees",
                [run_id],
            ).fetchall()
        counts = {bool(agrees): count for agrees, count in rows}
        return {agrees: counts.get(agrees, 0) for agrees in (True, False)}

    def decide(self, run_id: str, decision: Decision, numbers: Sequence[int] | None) -> int:
        """Record a decision for members that have none; return how many.

        Old series can be replaced if they were compared, new ones discarded if there are any.

        :param numbers: the numbers of the members; None: all that agree.
        """
        is_there = "agrees IS NOT NULL" if decision is Decision.REPLACE else f"state = '{MemberState.SUCCESS.value}'"
        condition = f"run = ? AND {is_there} AND decision IS NULL AND "
        with self._store.transaction() as db:
            if numbers is None:
                statement = f"UPDATE bulk_members SET decision = ? WHERE {condition} agrees = 1"
                return int(db.execute(statement, [decision.value, run_id]).rowcount)
            statement = f"UPDATE bulk_members SET decision = ? WHERE {condition} number = ?"
            return sum(int(db.execute(statement, [decision.value, run_id, number]).rowcount) for number in numbers)

    def submitted_since(self, run_id: str, when: float) -> list[float]:
        """The times after ``when`` at which jobs were begun, also those of members that wait again, earliest first."""
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT submitted FROM bulk_members WHERE run = ? AND submitted > ? UNION ALL "
                "SELECT submitted FROM bulk_former_submissions WHERE run = ? AND submitted > ? ORDER BY submitted",
                [run_id, when, run_id, when],
            ).fetchall()
        return [submitted for (submitted,) in rows]

    def last_ends(self, run_id: str, most: int) -> list[float]:
        """The times at which the last members with a job ended, latest first."""
        with self._store.reading() as db:
            rows = db.execute(
                f"SELECT completed FROM bulk_members WHERE run = ? AND state IN ({_OVER}) AND job IS NOT NULL "
                "AND completed IS NOT NULL ORDER BY completed DESC LIMIT ?",
                [run_id, most],
            ).fetchall()
        return [completed for (completed,) in rows]

    def _members(self, condition: str, values: Sequence[Any]) -> list[Member]:
        with self._store.reading() as db:
            rows = db.execute(
                f"SELECT {', '.join(_MEMBER_COLUMNS)} FROM bulk_members WHERE {condition}", values
            ).fetchall()
        return [_member(row) for row in rows]


def _read(db: Transaction, run_id: str) -> BulkRun:
    row = db.execute("SELECT document FROM bulk_runs WHERE id = ?", [run_id]).fetchone()
    if row is None:
        raise _no_run(run_id)
    return _run(row[0])


def _change(db: Transaction, run_id: str, change: Callable[[BulkRun], BulkRun]) -> BulkRun:
    run = change(_read(db, run_id))
    _, *values = _run_row(run)
    db.execute("UPDATE bulk_runs SET created = ?, state = ?, document = ? WHERE id = ?", [*values, run_id])
    return run


def _write(
    db: Transaction, run_id: str, member: Member, condition: str = "run = run", values: Sequence[Any] = ()
) -> bool:
    """Write a member's new record. :returns: False if it does not meet the condition; nothing was written."""
    number, *row = _member_row(member)
    columns = ", ".join(f"{name} = ?" for name in _MEMBER_COLUMNS[1:])
    changed = db.execute(
        f"UPDATE bulk_members SET {columns} WHERE run = ? AND number = ? AND {condition}",
        [*row, run_id, number, *values],
    )
    return changed.rowcount == 1


def _is_open(db: Transaction, run_id: str) -> bool:
    statement = f"SELECT 1 FROM bulk_members WHERE run = ? AND (state NOT IN ({_OVER}) OR uncompared = 1) LIMIT 1"
    return db.execute(statement, [run_id]).fetchone() is not None


def _go_on_comparing(db: Transaction, run_id: str) -> None:
    """Open a run again that was done before one of its jobs was run again, and has succeeded."""
    statement = (
        "SELECT 1 FROM bulk_runs WHERE id = ? AND state = ? AND EXISTS "
        "(SELECT 1 FROM bulk_members WHERE run = bulk_runs.id AND uncompared = 1)"
    )
    if db.execute(statement, [run_id, RunState.DONE.value]).fetchone() is not None:
        _change(db, run_id, lambda run: dataclasses.replace(run, state=RunState.RUNNING, completed=None))


def _asked(member: Member) -> dict[str, Any]:
    """The fields of a member that were set when its run began, besides its number and series."""
    keys = ("reference", "reference_code", "former")
    return {key: getattr(member, key) for key in keys}


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"there is no run {run_id[:40]}", remedy="GET /derived-series/bulk lists them")


def _run_row(run: BulkRun) -> tuple[Any, ...]:
    document = dataclasses.asdict(run) | {"state": run.state.value}
    return (run.id, run.created, run.state.value, json_bytes(document).decode())


def _run(text: str) -> BulkRun:
    document = json.loads(text)
    return BulkRun(**{**document, "state": RunState(document["state"]), "acts": tuple(document["acts"])})


#: A member's columns; its other fields are in the document.
_OF_COLUMNS = ("number", "state", "job", "submitted", "completed", "decision", "agrees")


def _member_row(member: Member) -> tuple[Any, ...]:
    document = {key: value for key, value in dataclasses.asdict(member).items() if key not in _OF_COLUMNS}
    return (
        *(member.number, member.state.value, member.job, member.submitted, member.completed),
        None if member.decision is None else member.decision.value,
        int(member.state is MemberState.SUCCESS and bool(member.reference) and not member.comparison),
        None if member.agrees is None else int(member.agrees),
        json_bytes(document).decode(),
    )


def _member(row: Sequence[Any]) -> Member:
    number, state, job, submitted, completed, decision, _, agrees, document = row
    return Member(
        number=number,
        state=MemberState(state),
        job=job,
        submitted=submitted,
        completed=completed,
        decision=None if decision is None else Decision(decision),
        agrees=None if agrees is None else bool(agrees),
        **json.loads(document),
    )
