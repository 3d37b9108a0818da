"""The audit after all has broken sees each kind of fault."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from derived_series.identifiers import series_uids_of
from job_audit import Audit, audit_of
from job_orders import Orders

Listing = list[dict[str, Any]]
Jobs = list[dict[str, Any]]


def series(name: str, uid: str, instances: int) -> dict[str, Any]:
    return {"ID": name, "MainDicomTags": {"SeriesInstanceUID": uid}, "Instances": list(range(instances))}


def job(name: str, parent: str, number: int | None) -> dict[str, Any]:
    request = {} if number is None else {"SeriesDescription": f"job {number}"}
    content = {"ParentSeries": parent, "Request": request, "Result": {"ID": f"of {name}"}}
    return {"ID": name, "State": "Success", "Content": content | ({"Rule": "once"} if number is None else {})}


ORDERS = Orders({1: 0, 2: 0, 3: 0}, {1: "one", 2: "two"}, {3}, [], {"1.2": "sent", "1.3": None}, {"sent": 2})
JOBS = [job("one", "parent", 1), job("two", "parent", 2), job("three", "sent", None)]
LISTING = [
    series("parent", "1.1", 5),
    series("sent", "1.2", 2),
    *(series(f"of {name}", series_uids_of(name)[0], count) for name, count in (("one", 5), ("two", 5), ("three", 2))),
]


def change(index: int, key: str, value: object) -> Callable[[Jobs, Listing], None]:
    return lambda jobs, listing: jobs[index].update({key: value})


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (lambda jobs, listing: jobs.pop(0), "lost orphans"),
        (lambda jobs, listing: jobs.pop(2), "lost orphans"),
        (lambda jobs, listing: listing.pop(2), "lost"),
        (change(0, "State", "Failure"), "lost"),
        (lambda jobs, listing: jobs.append(job("four", "parent", 1)), "lost doubled"),
        (lambda jobs, listing: listing.append(series("more", series_uids_of("one")[0], 5)), "doubled"),
        (lambda jobs, listing: listing[2]["Instances"].pop(), "partial"),
        (lambda jobs, listing: listing[4]["Instances"].pop(), "partial"),
        (lambda jobs, listing: listing.append(series("nobody's", "1.9", 1)), "orphans"),
        (lambda jobs, listing: jobs.append(job("five", "parent", 9)), "lost orphans"),
        (lambda jobs, listing: jobs.append(job("six", "sent", None)), "lost twice"),
    ],
)
def test_every_fault_is_seen(fault: Callable[[Jobs, Listing], object], what: str) -> None:
    jobs, listing = copy.deepcopy(JOBS), copy.deepcopy(LISTING)
    assert audit_of({"parent": 5}, ORDERS, jobs, listing) == Audit()
    fault(jobs, listing)
    audit = audit_of({"parent": 5}, ORDERS, jobs, listing)
    assert [name for name in ("lost", "doubled", "partial", "orphans", "twice") if getattr(audit, name)] == what.split()
