"""What is done with the old and the new series of a comparison, when somebody has decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from derived_series.errors import NotFound
from derived_series.jobs.bulk.bulk_run import Decision, Member
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
