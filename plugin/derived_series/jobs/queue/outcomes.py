"""Decides the next state of a job by the outcome of an attempt."""

from __future__ import annotations

import dataclasses
import signal
from concurrent.futures import CancelledError, Future

from derived_series.errors import Busy, Conflict, DerivedSeriesError, StorageError, UserCodeError
from derived_series.jobs.destination_states import cancelled
from derived_series.jobs.messages import Outcome
from derived_series.jobs.pool.worker import WorkerDied, WorkerLost
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.user_code import described

#: Raised when the disk is full or gone, which is no job's fault.
DISK_ERRORS = (Busy, OSError)

CANCELLED = Problem("Cancelled", Conflict.http_status, "the job was cancelled")
CANCELLED_DELIVERY = Problem(
    CANCELLED.kind,
    Conflict.http_status,
    "the job was cancelled when its series were stored: they stay, and are not sent on",
    "resubmit the job to send them on after all",
)

#: A process that has ended leaves no traceback.
_PROCESS_ENDED = "Orthanc's log has what the process wrote last; a library of the pipeline ends it, or os._exit does"

_LONGEST_PAUSE_SECONDS = 60.0
#: How many times Orthanc may end while a job runs before the job is blamed for it.
_MOST_LOST_ATTEMPTS = 100


def outcome_of(future: Future[Outcome]) -> Outcome:
    """The outcome of an attempt that is over, however it ended."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        error = cancelled
    if error is None:
        return future.result()
    return Outcome(error=_as_ours(error), clean=False)


def is_death(future: Future[Outcome]) -> bool:
    """Whether an attempt ended because its worker process did, by itself or from outside."""
    return not future.cancelled() and isinstance(future.exception(), WorkerDied)


def _as_ours(error: BaseException) -> DerivedSeriesError:
    if isinstance(error, DerivedSeriesError):
        return error
    if isinstance(error, CancelledError):
        return Conflict("the attempt was cancelled")
    if isinstance(error, WorkerLost):
        return StorageError(
            f"the worker on another machine was lost: {error.why}",
            remedy="it is tried again; docs/many-machines.md says what to look at",
            transient=True,
        )
    if not isinstance(error, WorkerDied):
        return UserCodeError(f"the code of the derivation ended with {described(error)}")
    if error.exit_code is None or error.is_from_outside:
        return StorageError(
            "the worker process was killed from outside",
            remedy="if there was too little memory: fewer Workers, or a WorkerMemoryMB",
            transient=True,
        )
    if error.exit_code < 0:
        name = signal.Signals(-error.exit_code).name
        return UserCodeError(f"the code of the derivation crashed its process ({name})", remedy=_PROCESS_ENDED)
    return UserCodeError(
        f"the code of the derivation ended its process with exit code {error.exit_code}", remedy=_PROCESS_ENDED
    )


def too_late(seconds: float) -> Problem:
    """The problem of an attempt that took too long."""
    return Problem.of(
        UserCodeError(
            f"the derivation took longer than {seconds:g} s and was ended",
            remedy='raise "Timeout" in the request, or in the configuration JobTimeout or the Timeout in Pipelines',
        )
    )


def verdict(job: JobRecord, error: DerivedSeriesError, limits: Limits, now: float) -> JobRecord:
    """The job after a failed attempt: failed, or waiting for its next attempt if the error is transient."""
    problem = Problem.of(error)
    transient = isinstance(error, StorageError) and error.transient
    failed_attempts = job.attempt - job.attempts_lost_to_restarts
    if not transient or failed_attempts >= limits.attempts:
        return dataclasses.replace(job, state=State.FAILURE, problem=problem)
    pause = min(limits.pause * 2 ** (failed_attempts - 1), _LONGEST_PAUSE_SECONDS)
    return dataclasses.replace(job, state=State.RETRY, problem=problem, next_try=now + pause)


def cancelled_job(job: JobRecord) -> JobRecord:
    """The job as a user's cancellation ends it: stored series stay, and are sent to no more destinations."""
    if job.result is None:
        return dataclasses.replace(job, state=State.FAILURE, problem=CANCELLED)
    return dataclasses.replace(cancelled(job), state=State.FAILURE, problem=CANCELLED_DELIVERY)


def is_overdue(job: JobRecord, now: float) -> bool:
    """Whether a job waits longer than any pause, because the clock was set back."""
    return job.state is State.RETRY and job.next_try > now + _LONGEST_PAUSE_SECONDS


def taken_up(job: JobRecord) -> JobRecord:
    """A job that was running when Orthanc ended: it runs again, and that attempt does not count.

    Restarts do not fail a job, but one during which Orthanc ends again and again is given up eventually.
    """
    lost = job.attempts_lost_to_restarts + 1
    if lost < _MOST_LOST_ATTEMPTS:
        return dataclasses.replace(job, state=State.PENDING, attempts_lost_to_restarts=lost)
    error = UserCodeError(f"Orthanc ended during {lost} attempts at this job")
    return dataclasses.replace(job, state=State.FAILURE, problem=Problem.of(error), attempts_lost_to_restarts=lost)
