"""What arrives late under the UIDs of ended attempts is removed, and never what an attempt that runs has stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from derived_series.errors import DerivedSeriesError
from derived_series.identifiers import series_uid_of
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.store import JobStore
from waiting import soon


class Held:
    """What a server holds, by SeriesInstanceUID."""

    def __init__(self) -> None:
        self.series: set[str] = set()
        self.looks = 0
        self.refuses = False

    def remove(self, series_uids: tuple[str, ...]) -> int:
        self.looks += 1
        if self.refuses:
            raise DerivedSeriesError("not now")
        there = self.series.intersection(series_uids)
        self.series -= there
        return len(there)

    def has_looked(self, times: int) -> bool:
        return self.looks >= times


Begin = Callable[..., Leftovers]


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def begin(tmp_path: Path, held: Held) -> Iterator[Begin]:
    begun: list[Leftovers] = []
    stores: list[JobStore] = []

    def start(span: float = 60.0) -> Leftovers:
        stores.append(JobStore(tmp_path / "jobs"))
        leftovers = Leftovers(stores[-1], span, held.remove)
        begun.append(leftovers)
        leftovers.start()
        leftovers.lead()
        return leftovers

    yield start
    for each in begun:
        each.stop()
    for store in stores:
        store.close()


@pytest.mark.slow
def test_33_what_arrives_late_is_removed_each_time(begin: Begin, held: Held) -> None:
    begin().expect("a")
    for looks in (1, 2, 3):
        soon(partial(held.has_looked, looks))
        held.series = {series_uid_of("a"), series_uid_of("a", 2), "another"}
        soon(lambda: held.series == {"another"})


def test_another_start_looks_again(begin: Begin, held: Held) -> None:
    first = begin()
    first.expect("a")
    first.stop()
    held.series = {series_uid_of("a")}
    begin()
    soon(lambda: not held.series)


def test_what_runs_or_is_stored_stays(begin: Begin, held: Held) -> None:
    leftovers = begin()
    for name in ("runs", "stored", "failed"):
        leftovers.expect(name)
    leftovers.begin("runs")
    leftovers.forget("stored")
    held.series = {series_uid_of(name) for name in ("runs", "stored", "failed")}
    soon(lambda: len(held.series) == 2)
    assert held.series == {series_uid_of("runs"), series_uid_of("stored")}
    assert leftovers.is_expected("runs") and not leftovers.is_expected("stored")
    leftovers.expect("runs")
    soon(lambda: held.series == {series_uid_of("stored")})


def test_it_looks_for_as_long_as_a_request_may_last(begin: Begin, held: Held) -> None:
    leftovers = begin(span=0.2)
    leftovers.expect("a")
    soon(lambda: not leftovers.is_expected("a"))
    leftovers.stop()
    assert not begin().is_expected("a")


@pytest.mark.slow
def test_a_server_that_refuses_is_asked_again(begin: Begin, held: Held) -> None:
    held.refuses, held.series = True, {series_uid_of("a")}
    begin(span=0.1).expect("a")
    soon(lambda: held.looks > 1)
    held.refuses = False
    soon(lambda: not held.series)
