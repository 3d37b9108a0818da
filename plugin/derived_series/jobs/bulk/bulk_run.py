"""A run over many series, and its members: immutable records, as they are on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class RunState(Enum):
    """``FINDING``: its series are being looked for. ``CANCELLING``: its jobs are being cancelled.

    ``FAILED``: it has met an error that is not a job's; its problem says which. It can be resumed.
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
    """``SUBMITTED``: it has a job, which is not over. ``SKIPPED``: none was begun; the reason says why."""

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
    """What becomes of the old and the new series of a member that was compared.

    ``REPLACE`` and ``DISCARD`` are asked for; ``REPLACED`` (the old is removed), ``DISCARDED`` (the new one is) and
    ``KEPT`` (the old was accepted: both stay) are done.
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
    """A run.

    :param request: JSON of ``BulkRequest``. It may name a patient, as queries do.
    :param by: who asked for it: JSON of a caller.
    :param versions: of what derives: ``Software``, ``Name`` and ``Code`` of the pipeline or blueprint.
    :param created: seconds since 1970, as all times here.
    :param problem: why it has failed, or has no series.
    :param has_members: whether its series have been looked for.
    :param acts: what people did to it, as JSON, the oldest first.
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
    """A series of a run.

    :param number: from 1. :param series: the Orthanc identifier of the parent.
    :param reason: why it was skipped or has failed; it names nothing of a patient.
    :param derived: Orthanc identifiers of what was made, by output.
    :param reference: what it is compared with, by output.
    :param reference_code: the digest of the code that has made that, where it is known.
    :param former: of what is made again: the request by which it was made.
    :param comparison: the figures by output; empty until they are there.
    :param agrees: whether all are within the limits.
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
