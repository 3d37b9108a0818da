"""Checks jobs that were requested while everything broke: none may be lost, doubled, incomplete, or fired twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from derived_series.identifiers import series_uids_of
from job_orders import Orders


@dataclass
class Audit:
    """The defects by kind, of which there must be none."""

    lost: list[Any] = field(default_factory=list)
    doubled: list[Any] = field(default_factory=list)
    partial: list[Any] = field(default_factory=list)
    orphans: list[Any] = field(default_factory=list)
    twice: list[Any] = field(default_factory=list)

    def counts(self) -> str:
        return (
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.partial)} partial, "
            f"{len(self.orphans)} orphans, {len(self.twice)} rules twice"
        )


def audit_of(slices: Mapping[str, int], orders: Orders, jobs: list[Any], listing: list[Any]) -> Audit:
    """Find the defects.

    :param slices: the instances of each parent. :param jobs: all jobs. :param listing: all series.
    """
    audit = Audit()
    series: dict[str, list[Any]] = {}
    for each in listing:
        series.setdefault(each["MainDicomTags"]["SeriesInstanceUID"], []).append(each)
    by_id = {each["ID"]: each for each in listing}
    expected = {by_id[each]["MainDicomTags"]["SeriesInstanceUID"] for each in slices} | set(orders.sent)
    numbers: Counter[int] = Counter()
    fired: Counter[str] = Counter()
    for job in jobs:
        content, uids = job["Content"], series_uids_of(job["ID"])
        expected |= set(uids)
        stored = [each for uid in uids for each in series.get(uid, [])]
        if content.get("Rule"):
            fired[content["ParentSeries"]] += 1
            count = orders.at_once.get(content["ParentSeries"])  # of any other, as many as had come
        else:
            number = int(content["Request"]["SeriesDescription"].removeprefix("job "))
            numbers[number] += 1
            count = slices[content["ParentSeries"]]
            if number in orders.answered and orders.answered[number] != job["ID"]:
                audit.doubled.append(job)
        if job["State"] != "Success" or not stored or content["Result"]["ID"] != stored[0]["ID"]:
            audit.lost.append(job)
        if len(stored) > 1:
            audit.doubled.append(job)
        if any(count is not None and len(each["Instances"]) != count for each in stored):
            audit.partial.append(job)
    audit.lost += [number for number in orders.answered if not numbers[number]]
    audit.lost += [each for each in orders.sent.values() if each is not None and not fired[each]]
    audit.doubled += [number for number, count in numbers.items() if count > 1]
    audit.orphans += [each for uid, every in series.items() for each in every if uid not in expected]
    audit.orphans += sorted(set(numbers) - set(orders.answered) - orders.unanswered)
    audit.twice += [each for each, count in fired.items() if count > 1]
    return audit
