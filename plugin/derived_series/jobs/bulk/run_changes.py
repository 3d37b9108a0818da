"""The changes that users can make to a run over many series, and in which states."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from derived_series.errors import Conflict
from derived_series.jobs.bulk.bulk_run import BulkRun, RunState
from derived_series.jobs.queue.audit_log import Action

#: The states of a run, in words.
_IN_WORDS: Mapping[RunState, str] = {
    RunState.FINDING: "is looking for its series already",
    RunState.RUNNING: "is running already",
    RunState.PAUSED: "is paused already",
    RunState.CANCELLING: "is being cancelled already",
    RunState.CANCELLED: "was cancelled",
    RunState.DONE: "is done",
    RunState.FAILED: "has failed",
}


def _paused(run: BulkRun) -> BulkRun:
    if run.state not in (RunState.FINDING, RunState.RUNNING):
        raise Conflict(f"the run {run.id} {_IN_WORDS[run.state]}", remedy="only a run that goes on can be paused")
    return dataclasses.replace(run, state=RunState.PAUSED)


def _resumed(run: BulkRun) -> BulkRun:
    if run.state not in (RunState.PAUSED, RunState.FAILED):
        raise Conflict(
            f"the run {run.id} {_IN_WORDS[run.state]}", remedy="only a run that is paused or has failed can be resumed"
        )
    state = RunState.RUNNING if run.has_members else RunState.FINDING
    return dataclasses.replace(run, state=state, problem=None, completed=None)


def _cancelling(run: BulkRun) -> BulkRun:
    if run.state in (RunState.DONE, RunState.CANCELLED, RunState.CANCELLING):
        raise Conflict(
            f"the run {run.id} {_IN_WORDS[run.state]}", remedy="only a run that is not over can be cancelled"
        )
    return dataclasses.replace(run, state=RunState.CANCELLING)


def _tried_again(run: BulkRun) -> BulkRun:
    if run.state in (RunState.CANCELLING, RunState.CANCELLED):
        raise Conflict(f"the run {run.id} was cancelled", remedy="begin another one")
    if run.state is RunState.FAILED:
        raise Conflict(f"the run {run.id} {_IN_WORDS[run.state]}", remedy="resume it: then it goes on where it was")
    state = RunState.RUNNING if run.state is RunState.DONE else run.state
    return dataclasses.replace(run, state=state, completed=None)


#: The changes by the verb in the route's path.
CHANGES: Mapping[str, tuple[Action, Callable[[BulkRun], BulkRun]]] = {
    "pause": ("PauseRun", _paused),
    "resume": ("ResumeRun", _resumed),
    "cancel": ("CancelRun", _cancelling),
    "retry": ("RetryRun", _tried_again),
}
