"""Carries out a person's decision about the old and the new series of a comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from derived_series.errors import NotFound
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import Decision, Member, MemberState
from derived_series.jobs.metadata import REVIEW
from derived_series.jobs.requests.verdict import ACCEPTED
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.reviews import Reviews

#: The most members that an error names.
NAMED_MEMBERS = 20


def carried_out(member: Member, gateway: Gateway, reviews: Reviews) -> Member:
    """Remove the old series of a member, or the new ones; a second call has no effect.

    Series that a person has accepted stay, as with ``"IfExists": "Replace"``. The old ones also stay when the new ones
    cannot take their place any more. No verdict may be given meanwhile.

    :raises DerivedSeriesError: Orthanc refuses it.
    """
    replaces = member.decision is Decision.REPLACE
    if replaces and (reason := _no_replacement(member, gateway, reviews)):
        return dataclasses.replace(member, decision=Decision.KEPT, reason=reason)
    series = list((member.reference if replaces else member.derived).values())
    if any(_is_accepted(each, gateway, reviews) for each in series):
        return dataclasses.replace(member, decision=Decision.KEPT)
    _remove(series, gateway)
    return dataclasses.replace(member, decision=Decision.REPLACED if replaces else Decision.DISCARDED)


def _no_replacement(member: Member, gateway: Gateway, reviews: Reviews) -> str:
    """Why the new series of a member cannot take the place of the old ones; empty if they can."""
    series = list(member.derived.values())
    if not series:
        return "it has no new series"
    if not all(map(gateway.has_series, series)):
        return "its new series is not in Orthanc any more"
    if any(map(reviews.is_rejected, series)):
        return "its new series is rejected"
    return ""


def decidable(
    run_id: str,
    decision: Decision,
    chosen: Sequence[int] | None,
    log: BulkLog,
    gateway: Gateway,
    reviews: Reviews,
) -> tuple[Sequence[int], Sequence[dict[str, Any]]]:
    """The members to decide about, and those that cannot be decided, with the reason.

    :param chosen: their numbers; None: all that agree and are undecided.
    :raises NotFound: no member has such a number.
    """
    members = {each.number: each for each in log.all_members(run_id)}
    if chosen is None:
        numbers = [each.number for each in members.values() if each.agrees and each.decision is None]
    else:
        numbers = list(dict.fromkeys(chosen))
    if unknown := [str(number) for number in numbers if number not in members]:
        raise NotFound(
            f"the run {run_id} has no members {', '.join(unknown[:NAMED_MEMBERS])}",
            remedy=f"they are numbered from 1 to {len(members)}; nothing was done" if members else "it has none",
        )
    replaced = _replaced_by_others(run_id, log)
    reasons = {number: refusal(members[number], decision, replaced, gateway, reviews) for number in numbers}
    refused = [{"Number": number, "Reason": reason} for number, reason in reasons.items() if reason]
    return [number for number, reason in reasons.items() if not reason], refused


def _replaced_by_others(run_id: str, log: BulkLog) -> dict[str, str]:
    """The old series that other runs replace, each with its run."""
    replaces = (Decision.REPLACE, Decision.REPLACED)
    return {
        series: other
        for other, member in log.made_again(besides=run_id)
        if member.decision in replaces
        for series in member.reference.values()
    }


def refusal(member: Member, decision: Decision, replaced: Mapping[str, str], gateway: Gateway, reviews: Reviews) -> str:
    """Why a decision is impossible; empty if it is possible.

    :param replaced: old series that other runs replace, each with its run.
    """
    if member.decision is not None:
        return f"it is decided already ({member.decision.value})"
    if decision is Decision.DISCARD:
        return "" if member.state is MemberState.SUCCESS else f"it has no new series: it is {member.state.value}"
    if member.agrees is None:
        return "it was not compared"
    if others := [replaced[series] for series in member.reference.values() if series in replaced]:
        return f"its old series is replaced by run {others[0]}: discard the new one, or leave it"
    if not any(map(gateway.has_series, member.reference.values())):
        return "its old series is not in Orthanc any more: discard the new one, or leave it"
    return _no_replacement(member, gateway, reviews)


def _is_accepted(series: str, gateway: Gateway, reviews: Reviews) -> bool:
    verdict = reviews.of(series)
    if verdict is not None and verdict["State"] == ACCEPTED:
        return True
    try:
        copy = gateway.metadata(series, REVIEW)
    except ValueError:  # not JSON
        return False
    return isinstance(copy, dict) and copy.get("State") == ACCEPTED


def _remove(series: Iterable[str], gateway: Gateway) -> None:
    for each in series:
        try:
            gateway.delete(f"/series/{each}")
        except NotFound:  # it is gone already
            continue
