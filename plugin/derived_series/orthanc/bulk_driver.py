"""Drives runs over many series: a thread finds their series, begins jobs at the set pace, and compares the results."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from derived_series.errors import Busy, Conflict, DerivedSeriesError, InvalidRequest, NotFound
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import BulkRun, Member, MemberState, RunState
from derived_series.jobs.bulk.commissioning_report import write_report
from derived_series.jobs.bulk.pace import Pace
from derived_series.jobs.hours import Hours
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.job_files import JobFiles
from derived_series.jobs.queue.nodes import BULK, Nodes
from derived_series.jobs.queue.outcomes import CANCELLED
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.requests.bulk import BulkRequest
from derived_series.jobs.stored_series import stored_series
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.bulk_checks import NOT_TAKEN, FitChecks, Look, Unanswered
from derived_series.orthanc.bulk_comparisons import Comparisons
from derived_series.orthanc.bulk_decisions import carried_out
from derived_series.orthanc.bulk_finder import MemberFinder
from derived_series.orthanc.derivations import Derivations
from derived_series.orthanc.reviews import Reviews

_log = logging.getLogger(__name__)

#: Seconds between two looks if nothing wakes the thread: while runs are open, after an error, and otherwise.
_LOOK_SECONDS, _LOOK_SOON_SECONDS, _QUIET_SECONDS = 5.0, 1.0, 60.0
_STOP_SECONDS = 2.0

#: Seconds between two looks for jobs whose end was not noticed.
_RECONCILE_SECONDS = 30.0

#: The series that a worker checks in one go, and the unsuccessful checks before a series is skipped.
_LOOKED_AT_SERIES, _MOST_LOOKS = 10, 3

#: The members that are written or cancelled at a time.
_PAGE_MEMBERS = 500


class BulkDriver:
    """The thread that drives runs. Its state is on disk: after a restart it continues.

    :param workers: the number of worker processes; by default a run leaves one of them to other jobs.
    """

    def __init__(
        self,
        gateway: Gateway,
        runner: JobRunner,
        log: BulkLog,
        finder: MemberFinder,
        checks: FitChecks,
        derivations: Derivations,
        reviews: Reviews,
        audit: Audit,
        workers: int,
        comparisons: Callable[[Callable[[], None]], Comparisons],
        reports: JobFiles,
        nodes: Nodes,
    ):
        self._nodes = nodes
        self._gateway = gateway
        self._runner = runner
        self._log = log
        self._finder = finder
        self._checks = checks
        self._derivations = derivations
        self._reviews = reviews
        self._audit = audit
        self._workers = workers
        self._reports = reports
        self._looks: Counter[tuple[str, int]] = Counter()
        self._singly: Counter[str] = Counter()  # by run, the next series that are looked at one by one
        self._refused: set[tuple[str, int]] = set()
        self._reconcile_at = 0.0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._comparisons = comparisons(self._woken.set)
        self._thread = threading.Thread(target=self._work, name="bulk", daemon=True)

    def start(self) -> None:
        """Continue the open runs."""
        self._thread.start()

    def wake(self) -> None:
        """Note that a run has changed. Returns at once."""
        self._woken.set()
        if not self._nodes.leads:
            self._nodes.tell(BULK)

    def stop(self) -> None:
        """Stop the thread; open runs stay on disk."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def pace_of(self, request: BulkRequest) -> Pace:
        """The limits of a run's pace."""
        throttle = request.keys.throttle
        at_once = throttle.at_once or max(1, self._workers - 1)
        return Pace(at_once, throttle.per_hour, Hours.of(request.keys.hours))

    def observe(self, job: JobRecord) -> None:
        """Note a job's new state with its members. A repeated call has no effect.

        :raises Busy: the disk refuses it.
        """
        if not job.state.is_final:
            return
        for run, member in self._log.of_job(job.id):
            if _settled(member, job) != member:
                self._log.revise(run, [member.number], lambda current: _settled(current, job))
                self._woken.set()

    # -- the thread --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            patience = _LOOK_SOON_SECONDS
            if not self._nodes.leads:
                self._woken.wait(_LOOK_SECONDS)
                continue
            try:
                self._take_comparison()
                self._carry_out_decisions()
                if time.monotonic() >= self._reconcile_at:
                    self._reconcile()
                runs = self._log.open_runs()
                for run in runs:
                    if not self._stopping.is_set():
                        self._advance_or_fail(run)
                patience = _LOOK_SECONDS if runs else _QUIET_SECONDS
            except Busy as error:  # the queue, the workers or the disk: all that waits is tried again
                _log.info("runs wait: %s", error)
            except Exception:  # the one boundary of this thread
                if not self._stopping.is_set():
                    _log.exception("the thread of runs over many series has met an error")
            self._woken.wait(patience)

    def _advance_or_fail(self, run: BulkRun) -> None:
        """Advance a run by one step. An error ends only this run."""
        try:
            self._advance(run)
        except Busy as error:
            _log.info("run %s waits: %s", run.id, error)
        except Exception as error:  # the boundary of each run
            if self._stopping.is_set():  # Orthanc's answers at its end mean nothing
                return
            if isinstance(error, DerivedSeriesError):
                problem = str(error)
                _log.error("run %s has failed: %s", run.id, error)
            else:  # its text may quote patient data
                problem = f"an error of the plugin ({type(error).__name__}): Orthanc's log has more"
                _log.exception("run %s has failed", run.id)
            self._fail(run, problem)

    def _fail(self, run: BulkRun, problem: str) -> None:
        """End a run that has met an error, unless somebody has paused or cancelled it meanwhile."""

        def change(current: BulkRun) -> BulkRun:
            return _over(current, RunState.FAILED, problem) if current.state is run.state else current

        try:
            self._log.change(run.id, change, leading=True)
        except NotFound:  # it was deleted meanwhile
            return
        except Busy as error:
            _log.info("run %s waits: %s", run.id, error)

    def _reconcile(self) -> None:
        """Look for jobs that ended while nobody observed them."""
        for run in self._log.open_runs():
            for member in self._log.in_state(run.id, MemberState.SUBMITTED):
                job = self._runner.store.find(member.job or "")
                if job is None:
                    reason = "its job is not remembered any more"
                    self._turn(run, [member], MemberState.FAILURE, reason=reason, completed=time.time())
                else:
                    self.observe(job)
        for _, member in self._log.mended():
            if (job := self._runner.store.find(member.job or "")) is not None:
                self.observe(job)
        self._reconcile_at = time.monotonic() + _RECONCILE_SECONDS

    def _advance(self, run: BulkRun) -> None:
        request = BulkRequest.of(run.request)
        if run.state is RunState.FINDING:
            self._find(run, request)
            self._woken.set()
        elif run.state is RunState.RUNNING:
            self._begin_jobs(run, request)
            self._begin_comparison(run, request)
            self._end_if_over(run, request)
        elif run.state is RunState.CANCELLING:
            self._cancel(run)

    def _find(self, run: BulkRun, request: BulkRequest) -> None:
        self._finder.check(request)
        problem = None
        try:
            members = list(self._finder.members(request, run=run.id))
        except (Conflict, NotFound) as error:
            members, problem = [], str(error)

        def change(current: BulkRun) -> BulkRun:
            state = RunState.RUNNING if current.state is RunState.FINDING else current.state
            why = problem or (None if members else "no series was found")
            return dataclasses.replace(current, state=state, has_members=True, problem=why)

        if not self._stopping.is_set():  # otherwise Orthanc's answer may be wrong
            if self._log.put(run.id, members, change):
                _log.warning("run %s has %d series", run.id, len(members))

    def _begin_jobs(self, run: BulkRun, request: BulkRequest) -> None:
        pace, now = self.pace_of(request), time.time()
        counts = self._log.counts(run.id)
        begun = self._log.submitted_since(run.id, now - 3600.0) if pace.per_hour is not None else []
        allowed = pace.allowed(now, counts[MemberState.SUBMITTED], begun)
        most = 1 if self._singly[run.id] else _LOOKED_AT_SERIES
        members = self._log.in_state(run.id, MemberState.WAITING, min(allowed, most))
        if not members:
            return
        for member, look in zip(members, self._looks_at(run, members, request), strict=True):
            if self._stopping.is_set() or not self._nodes.leads or self._log.get(run.id).state is not RunState.RUNNING:
                return
            if look.fits:
                self._submit(run, request, member, look)
            else:
                self._pass_over(run, member, look)
            self._singly[run.id] = max(0, self._singly[run.id] - 1)
        self._woken.set()  # there may be more to begin

    def _looks_at(self, run: BulkRun, members: Sequence[Member], request: BulkRequest) -> list[Look]:
        if request.derive is None:  # a job derived from it before
            return [Look(True) for _ in members]
        try:
            return self._checks.looks([member.series for member in members], request.derive)
        except Unanswered as error:
            if len(members) > 1:  # each by itself tells which of them is to blame
                self._singly[run.id] = len(members)
                raise
            return [Look(None, error.message)]

    def _pass_over(self, run: BulkRun, member: Member, look: Look) -> None:
        """Skip a member that does not fit, or that could not be checked several times."""
        place = (run.id, member.number)
        if look.fits is None:
            self._looks[place] += 1
            if self._looks[place] < _MOST_LOOKS:
                raise Busy(f"series {member.series}: {look.reason}")
        self._looks.pop(place, None)
        self._skip(run, member, look.reason)

    def _skip(self, run: BulkRun, member: Member, reason: str) -> None:
        self._turn(run, [member], MemberState.SKIPPED, reason=reason, completed=time.time())

    def _turn(
        self,
        run: BulkRun,
        members: Sequence[Member],
        state: MemberState,
        reason: str = "",
        completed: float | None = None,
    ) -> None:
        """Give members another state, except those that have changed since they were read."""
        read = {member.number: member for member in members}

        def change(current: Member) -> Member:
            if current != read[current.number]:
                return current
            return dataclasses.replace(current, state=state, reason=reason, completed=completed)

        self._log.revise(run.id, read, change)

    def _submit(self, run: BulkRun, request: BulkRequest, member: Member, look: Look) -> None:
        by, now = {**run.by, "Bulk": run.id}, time.time()

        def along(taken: JobRecord) -> Note:
            return self._log.submission(
                run.id, dataclasses.replace(member, state=MemberState.SUBMITTED, job=taken.id, submitted=now)
            )

        former = member.job
        if former is not None and self._accept(run, member, lambda: self._derivations.sent_again(former, by, along)):
            return
        try:
            asked = request.for_one(member.former, look.inputs)
            job = self._derivations.job(member.series, asked)
        except (NotFound, Conflict) as error:
            self._skip(run, member, error.message)
            return
        except InvalidRequest:  # its message may quote parameters
            self._skip(run, member, NOT_TAKEN)
            return
        self._accept(run, member, lambda: self._derivations.accepted(asked, job, None, by, along))

    def _accept(self, run: BulkRun, member: Member, taken: Callable[[], JobRecord | None]) -> bool:
        """Take a job for a member. :returns: False: there is none that could be taken."""
        try:
            job = taken()
        except Conflict as error:
            if self._log.get(run.id).state is RunState.RUNNING and self._log.member(run.id, member.number) == member:
                raise
            _log.info("run %s: %s", run.id, error)
            return True
        if job is not None and (current := self._runner.store.find(job.id)) is not None:
            self.observe(current)  # a reused job may be over
        return job is not None

    def _take_comparison(self) -> None:
        if (compared := self._comparisons.take()) is None:
            return
        run, member = compared

        def change(current: Member) -> Member:
            if (current.derived, current.reference) != (member.derived, member.reference):  # it was begun again
                return current
            return dataclasses.replace(current, comparison=member.comparison, agrees=member.agrees)

        self._log.revise(run, [member.number], change)

    def _begin_comparison(self, run: BulkRun, request: BulkRequest) -> None:
        if not request.keys.compares or not self._comparisons.is_free:
            return
        for member in self._log.uncompared(run.id, 1):
            self._comparisons.begin(run.id, member, request.keys.limits)

    def _end_if_over(self, run: BulkRun, request: BulkRequest) -> None:
        if self._log.is_open(run.id) or self._comparisons.is_of(run.id):
            return

        if request.keys.compares:
            write_report(self._reports, _over(run, RunState.DONE), request.keys.limits, self._log)
        if self._log.end(run.id, lambda current: _over(current, RunState.DONE)):
            counts = self._log.counts(run.id)
            ended = {state.value: count for state, count in counts.items() if count}
            _log.warning("run %s is over: %s", run.id, ended)

    def _cancel(self, run: BulkRun) -> None:
        while waiting := self._log.in_state(run.id, MemberState.WAITING, _PAGE_MEMBERS):
            self._turn(run, waiting, MemberState.CANCELLED)
        submitted = self._log.in_state(run.id, MemberState.SUBMITTED)
        for member in submitted:
            self._cancel_job(run, member)
        if not self._log.counts(run.id)[MemberState.SUBMITTED]:
            self._log.change(run.id, lambda current: _over(current, RunState.CANCELLED), leading=True)

    def _cancel_job(self, run: BulkRun, member: Member) -> None:
        job = self._runner.store.find(member.job or "")
        if job is None or self._audit.asked_by(job.id).get("Bulk") != run.id:  # it is gone, or another's
            self._turn(run, [member], MemberState.CANCELLED)
        elif job.state.is_final:
            self.observe(job)
        else:
            try:
                self._runner.cancel(job.id, wait=False)  # else it is asked again
            except Busy:
                raise
            except DerivedSeriesError as error:  # it has just ended, or Orthanc does not answer
                _log.info("job %s of run %s is not cancelled yet: %s", job.id, run.id, error)

    def _carry_out_decisions(self) -> None:
        for run, member in self._log.undecided():
            if self._stopping.is_set():
                return
            try:
                with self._nodes.alone("verdicts"):
                    done = carried_out(member, self._gateway, self._reviews)
                    self._log.revise(run, [member.number], partial(_with_decision, done))
            except Busy:
                raise
            except Exception as error:  # the boundary of each decision; it is tried again
                place = (run, member.number)
                if place not in self._refused and not self._stopping.is_set():  # report it once
                    self._refused.add(place)
                    _log.error("run %s, member %d: what was decided is not done yet: %s", run, member.number, error)


def _over(run: BulkRun, state: RunState, problem: str | None = None) -> BulkRun:
    """A run that ends now. :param problem: the reason, in place of an earlier one."""
    return dataclasses.replace(run, state=state, problem=problem or run.problem, completed=time.time())


def _with_decision(done: Member, member: Member) -> Member:
    """A member with the decision about it that is carried out."""
    return dataclasses.replace(member, decision=done.decision, reason=done.reason)


def _settled(member: Member, job: JobRecord) -> Member:
    """A member with the outcome of its job."""
    if member.job != job.id or member.state not in (MemberState.SUBMITTED, MemberState.FAILURE):
        return member  # a failed job may be run again, others not
    derived = {str(each["Output"]): str(each["ID"]) for each in stored_series(job.result)}
    if job.state is State.SUCCESS:
        state, reason = MemberState.SUCCESS, ""
    elif job.problem is not None and job.problem.kind == CANCELLED.kind:
        state, reason = MemberState.CANCELLED, "its job was cancelled"
    else:
        kind = "" if job.problem is None else job.problem.kind
        state, reason = MemberState.FAILURE, kind
    return dataclasses.replace(
        member, state=state, reason=reason, derived=derived, completed=job.completed or time.time()
    )
