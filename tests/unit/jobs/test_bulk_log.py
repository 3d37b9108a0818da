"""Runs on disk: each job is begun once, whatever ends in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from derived_series.errors import Busy, NotFound
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import BulkRun, Decision, Member, MemberState, RunState
from derived_series.jobs.queue.store import JobStore
from test_jobs_store import job

RUN = BulkRun("run", {"Resources": []}, {"User": "Anna"}, {"Name": "x"}, 5.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with closing(JobStore(tmp_path / "jobs")) as opened:
        yield opened


def filled(store: JobStore, count: int = 3) -> BulkLog:
    log = BulkLog(store)
    log.add(RUN)
    members = [Member(number, f"series {number}", reference={"": f"old {number}"}) for number in range(1, count + 1)]
    log.put("run", members, lambda run: dataclasses.replace(run, state=RunState.RUNNING, has_members=True))
    return log


def test_a_run_and_its_members_come_back_as_they_were(store: JobStore) -> None:
    log = filled(store)
    member = Member(
        2,
        "series 2",
        MemberState.SUCCESS,
        job="job",
        submitted=1.5,
        completed=2.5,
        derived={"result": "new"},
        reference={"": "old 2"},
        former={"Pipeline": "x"},
        comparison={"": {"Kind": "Images", "Correlation": 0.5}},
        agrees=False,
        decision=Decision.KEPT,
    )
    log.write("run", [member])
    with closing(JobStore(store.folder)) as again:
        other = BulkLog(again)
        assert other.get("run") == dataclasses.replace(RUN, state=RunState.RUNNING, has_members=True)
        assert other.members("run", 1, 1) == [member] == [each for _, each in other.of_job("job")]
        assert other.counts("run")[MemberState.WAITING] == 2 and other.counts("run")[MemberState.SUCCESS] == 1
        assert other.agreeing("run") == {True: 0, False: 1} and other.last_ends("run", 9) == [2.5]


@pytest.mark.parametrize("count", [0, 3, 4])
def test_all_members_are_read_once_page_by_page(store: JobStore, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("derived_series.jobs.bulk.bulk_log._PAGE_MEMBERS", 2)
    assert [member.number for member in filled(store, count).all_members("run")] == [*range(1, count + 1)]


def test_a_job_and_its_member_are_written_together_or_not_at_all(store: JobStore) -> None:
    log = filled(store)
    (member, *_) = log.in_state("run", MemberState.WAITING)
    submitted = dataclasses.replace(member, state=MemberState.SUBMITTED, job="a", submitted=1.0)
    store.add(job("z"), None, most=1)
    with pytest.raises(Busy):  # the queue is full
        store.add(job("a"), None, most=1, along=log.note("run", submitted))
    assert log.members("run")[0] == member and store.find("a") is None
    store.add(job("a"), None, most=2, along=log.note("run", submitted))
    assert log.members("run")[0] == submitted and store.find("a") is not None


def test_a_search_that_was_cut_short_begins_again(store: JobStore) -> None:
    log = filled(store, 3)
    log.put("run", [Member(1, "another")], lambda run: run)
    assert [member.series for member in log.members("run")] == ["another"]


def test_what_is_decided_is_decided_once_and_only_where_there_are_figures(store: JobStore) -> None:
    log = filled(store)
    one, other, _ = log.members("run")
    success = MemberState.SUCCESS
    log.write("run", [dataclasses.replace(one, state=success, agrees=True)])
    log.write("run", [dataclasses.replace(other, state=success, agrees=False)])
    assert log.decide("run", Decision.REPLACE, None) == 1, "all that agree"
    assert log.decide("run", Decision.DISCARD, [1, 2, 3]) == 1, "1 is decided, 3 was not compared"
    assert [(run, member.number, member.decision) for run, member in log.undecided()] == [
        ("run", 1, Decision.REPLACE),
        ("run", 2, Decision.DISCARD),
    ]


def test_what_failed_waits_again_as_it_was_at_first(store: JobStore) -> None:
    log = filled(store)
    first, *others = log.members("run")
    failed = dataclasses.replace(first, state=MemberState.FAILURE, job="a", submitted=1.0, completed=2.0, reason="x")
    log.write("run", [failed])
    log.retry("run", lambda run: dataclasses.replace(run, state=RunState.RUNNING))
    assert log.members("run") == [first, *others]


def test_what_is_not_wanted_any_more_is_discarded_before_it_is_compared(store: JobStore) -> None:
    log = filled(store)
    log.write("run", [dataclasses.replace(log.members("run")[0], state=MemberState.SUCCESS, derived={"": "new"})])
    assert log.decide("run", Decision.REPLACE, [1, 2]) == 0
    assert log.decide("run", Decision.DISCARD, [1, 2]) == 1, "2 has made nothing"


def test_only_what_has_succeeded_and_has_a_reference_is_to_be_compared(store: JobStore) -> None:
    log = filled(store, 4)
    members = log.members("run")
    done = [dataclasses.replace(member, state=MemberState.SUCCESS) for member in members[:3]]
    done[1] = dataclasses.replace(done[1], reference={})
    done[2] = dataclasses.replace(done[2], comparison={"": {"Kind": "Nothing"}})
    log.write("run", done)
    assert [member.number for member in log.uncompared("run", 9)] == [1]


def test_open_runs_and_forgotten_ones(store: JobStore) -> None:
    log = filled(store)
    log.add(dataclasses.replace(RUN, id="later", created=9.0))
    assert [run.id for run in log.open_runs()] == ["run", "later"] and [run.id for run in log.runs()] == [
        "later",
        "run",
    ]
    log.change("run", lambda run: dataclasses.replace(run, state=RunState.DONE))
    assert [run.id for run in log.open_runs()] == ["later"]
    log.delete("run")
    assert log.members("run") == []
    with pytest.raises(NotFound, match="there is no run run"):
        log.get("run")
    with pytest.raises(NotFound, match="there is no run run"):
        log.change("run", lambda run: run)
