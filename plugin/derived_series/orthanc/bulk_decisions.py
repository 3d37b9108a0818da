"""What is done with the old and the new series of a comparison, when somebody has decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from derived_series.errors import NotFound
from derived_series.jobs.bulk.bulk_run import Decision, Member, MemberState
from derived_series.jobs.metadata import REVIEW
from derived_series.jobs.requests.verdict import ACCEPTED
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.reviews import Reviews


def carried_out(member: Member, gateway: Gateway, reviews: Reviews) -> Member:
    """Remove the old series of a member, or the new ones; done twice, it does nothing more.

    What a person has accepted stays, as with ``"IfExists": "Replace"``.

    :raises DerivedSeriesError: Orthanc refuses it.
    """
    replaces = member.decision is Decision.REPLACE
    series = list((member.reference if replaces else member.derived).values())
    if any(_is_accepted(each, gateway, reviews) for each in series):
        return dataclasses.replace(member, decision=Decision.KEPT)
    _remove(series, gateway)
    return dataclasses.replace(member, decision=Decision.REPLACED if replaces else Decision.DISCARDED)


def refusal(member: Member, decision: Decision, replaced: Mapping[str, str], gateway: Gateway) -> str:
    """Why a decision cannot be taken; empty where it can.

    :param replaced: old series that other runs replace, with their run.
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
    return ""


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
