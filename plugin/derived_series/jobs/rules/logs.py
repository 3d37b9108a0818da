"""RuleLogs: all records about rules, in the jobs database."""

from __future__ import annotations

from dataclasses import dataclass

from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.rules.log import FiringLog
from derived_series.jobs.rules.remarks import Remarks
from derived_series.jobs.rules.sendings import Sendings
from derived_series.jobs.rules.study_waits import StudyWaits


@dataclass(frozen=True, slots=True)
class RuleLogs:
    """The records about rules.

    :param firings: what rules have derived. :param sendings: what they have sent on.
    :param waits: the studies that they wait for. :param remarks: remarks about what they did or did not do.
    """

    firings: FiringLog
    sendings: Sendings
    waits: StudyWaits
    remarks: Remarks

    @classmethod
    def of(cls, store: JobStore) -> RuleLogs:
        return cls(FiringLog(store), Sendings(store), StudyWaits(store), Remarks(store))
