"""The dry run of a run over many series: from which series it would derive, and why not from the others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from derived_series.errors import Conflict, InvalidRequest, NotFound
from derived_series.jobs.bulk.bulk_run import Member, MemberState
from derived_series.jobs.requests.bulk import BulkRequest
from derived_series.orthanc.bulk_checks import NOT_TAKEN, FitChecks, Look
from derived_series.orthanc.bulk_finder import MemberFinder
from derived_series.orthanc.derivations import Derivations

#: Seconds to look for series, and the series that are checked in one go.
_FIND_SECONDS, _LOOKED_AT_SERIES = 15.0, 50


@dataclass(frozen=True, slots=True)
class BulkDryRun:
    """Finds the series of a run without beginning a job."""

    finder: MemberFinder
    checks: FitChecks
    derivations: Derivations

    def answer(self, asked: BulkRequest) -> dict[str, Any]:
        """One page of the members, each with whether a job would begin, or why not."""
        keys = asked.keys
        members: list[Member] = []
        stopped = False
        try:
            for member in itertools.islice(
                self.finder.members(asked, _FIND_SECONDS), keys.since, keys.since + keys.limit + 1
            ):
                members.append(member)
        except TimeoutError:
            stopped = True
        more, members = len(members) > keys.limit, members[: keys.limit]
        looks = self._looks(asked, members)
        entries = [self._would_run(asked, member, looks.get(member.number)) for member in members]
        return {
            "DryRun": True,
            "Since": keys.since,
            "Limit": keys.limit,
            "WouldRun": sum(entry["Runs"] for entry in entries),
            "Members": entries,
            "More": more,
            "Stopped": f"after {_FIND_SECONDS:g} s: a run would look on" if stopped else "",
        }

    def _looks(self, asked: BulkRequest, members: list[Member]) -> dict[int, Look]:
        if asked.derive is None:
            return {}
        waiting = [member for member in members if member.state is MemberState.WAITING]
        looks: dict[int, Look] = {}
        for batch in (waiting[at : at + _LOOKED_AT_SERIES] for at in range(0, len(waiting), _LOOKED_AT_SERIES)):
            batch_looks = self.checks.looks_of_page([member.series for member in batch], asked.derive)
            looks |= {member.number: look for member, look in zip(batch, batch_looks, strict=True)}
        return looks

    def _would_run(self, asked: BulkRequest, member: Member, look: Look | None) -> dict[str, Any]:
        reason = member.reason if look is None else look.reason
        job = None
        if not reason:
            try:
                one = asked.for_one(member.former, None if look is None else look.inputs)
                if one.if_exists == "Reuse":
                    job = self.derivations.reusable(self.derivations.job(member.series, one))
                reason = "" if job is None else "it has been derived already"
            except (NotFound, Conflict) as error:
                reason = error.message
            except InvalidRequest:
                reason = NOT_TAKEN
        return {
            "Number": member.number,
            "Series": member.series,
            "Path": f"/series/{member.series}",
            "Runs": not reason,
            "Reason": reason,
            **({} if job is None else {"Job": job.id}),
            **({"Reference": list(member.reference.values())} if member.reference else {}),
        }
