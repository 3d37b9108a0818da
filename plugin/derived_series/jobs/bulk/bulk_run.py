"""The records of a run over many series and its members, immutable and as stored on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class RunState(Enum):
    """The state of a run. ``FINDING``: it looks for its series. ``CANCELLING``: its jobs are being cancelled.

    ``FAILED``: it met an error that is not a job's, see its problem; it can be resumed.
    """

    FINDING = "Finding"
    RUNNING = "Running"
    PAUSED = "Paused"
    CANCELLING = "Cancelling"
    CANCELLED = "Cancelled"
    DONE = "Done"
    FAILED = "Failed"

    @property
    def is_over(self) -> bool:
        return self in (RunState.CANCELLED, RunState.DONE, RunState.FAILED)


class MemberState(Enum):
    """The state of a member. ``SUBMITTED``: it has a job that is not over. ``SKIPPED``: see its reason."""

    WAITING = "Waiting"
    SUBMITTED = "Submitted"
    SUCCESS = "Success"
    FAILURE = "Failure"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"

    @property
    def is_over(self) -> bool:
        return self not in (MemberState.WAITING, MemberState.SUBMITTED)


class Decision(Enum):
    """What happens to the old and new series of a compared member.

    ``REPLACE`` and ``DISCARD`` are requested; ``REPLACED`` (the old one is removed), ``DISCARDED`` (the new one is) and
    ``KEPT`` (both stay: the one to be removed was accepted, or the new one was rejected or removed) are done.
    """

    REPLACE = "Replace"
    DISCARD = "Discard"
    REPLACED = "Replaced"
    DISCARDED = "Discarded"
    KEPT = "Kept"

    @property
    def is_done(self) -> bool:
        return self in (Decision.REPLACED, Decision.DISCARDED, Decision.KEPT)


@dataclass(frozen=True, slots=True)
class BulkRun:
    """A run over many series.

    :param request: the JSON of ``BulkRequest``, which may name a patient in its query.
    :param by: the user who requested it, as the JSON of a caller.
    :param versions: ``Software``, and ``Name`` and ``Code`` of the pipeline or blueprint.
    :param created: seconds since 1970, like all times here.
    :param problem: why it failed, or has no series.
    :param has_members: whether it has looked for its series.
    :param acts: what users did to it, as JSON, oldest first.
    """

    id: str
    request: dict[str, Any]
    by: dict[str, Any]
    versions: dict[str, str]
    created: float
    state: RunState = RunState.FINDING
    completed: float | None = None
    problem: str | None = None
    has_members: bool = False
    acts: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A series in a run.

    :param number: from 1. :param series: the Orthanc identifier of the parent.
    :param reason: why it was skipped or failed, without patient data.
    :param derived: the Orthanc identifiers of the derived series, by output.
    :param reference: the Orthanc identifiers of the series to compare with, by output.
    :param reference_code: the digest of the code that made the reference, if known.
    :param former: the request by which the old series was made, if it is made again.
    :param comparison: the figures by output; empty until they are known.
    :param agrees: whether all figures are within the limits.
    """

    number: int
    series: str
    state: MemberState = MemberState.WAITING
    reason: str = ""
    job: str | None = None
    submitted: float | None = None
    completed: float | None = None
    derived: dict[str, str] = field(default_factory=dict)
    reference: dict[str, str] = field(default_factory=dict)
    reference_code: str = ""
    former: dict[str, Any] | None = None
    comparison: dict[str, Any] = field(default_factory=dict)
    agrees: bool | None = None
    decision: Decision | None = None
