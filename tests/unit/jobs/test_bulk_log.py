"""Runs on disk: each job is begun once, whatever ends in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import pytest

from derived_series.errors import Busy, Conflict, NotFound
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import BulkRun, Decision, Member, MemberState, RunState
from derived_series.jobs.queue.database import Transaction
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import State
from store_places import StorePlace
from test_jobs_store import job

RUN = BulkRun("run", {"Resources": []}, {"User": "Anna"}, {"Name": "x"}, 5.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with closing(JobStore(tmp_path / "jobs")) as opened:
        yield opened


@pytest.fixture
def either_store(store_place: StorePlace) -> Iterator[JobStore]:
    """For statements that both databases have to take."""
    with closing(store_place.open()) as opened:
        yield opened


def filled(store: JobStore, count: int = 3) -> BulkLog:
    log = BulkLog(store)
    log.add(RUN)
    members = [Member(number, f"series {number}", reference={"": f"old {number}"}) for number in range(1, count + 1)]
    log.put("run", members, lambda run: dataclasses.replace(run, state=RunState.RUNNING, has_members=True))
    return log


def write(log: BulkLog, run: str, members: Sequence[Member]) -> None:
    """Write members, whatever they were before."""
    new = {member.number: member for member in members}
    log.revise(run, new, lambda member: new[member.number])


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
    write(log, "run", [member])
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
        store.add(job("a"), None, most=1, along=log.submission("run", submitted))
    assert log.members("run")[0] == member and store.find("a") is None
    store.add(job("a"), None, most=2, along=log.submission("run", submitted))
    assert log.members("run")[0] == submitted and store.find("a") is not None


def test_a_second_search_changes_nothing(store: JobStore) -> None:
    log = filled(store, 3)
    members = log.members("run")
    submitted = dataclasses.replace(members[0], state=MemberState.SUBMITTED, job="a")
    write(log, "run", [submitted])
    assert not log.put("run", members, lambda run: dataclasses.replace(run, problem="x"))
    assert log.members("run")[0] == submitted and log.get("run").problem is None


@pytest.mark.parametrize("state", [RunState.PAUSED, RunState.CANCELLING])
def test_a_job_is_begun_for_a_member_that_waits_in_a_run_that_goes_on(either_store: JobStore, state: RunState) -> None:
    log = filled(either_store)
    first, second, _ = log.members("run")
    for name in ("a", "b"):  # two Orthancs have read the same
        submission = log.submission("run", dataclasses.replace(first, state=MemberState.SUBMITTED, job=name))
        with nullcontext() if name == "a" else pytest.raises(Conflict, match="member 1 .* does not wait"):
            either_store.add(job(name), None, most=9, along=submission)
    log.change("run", lambda run: dataclasses.replace(run, state=state))
    with pytest.raises(Conflict, match="member 2 .* does not wait"):
        either_store.add(job("c"), None, most=9, along=log.submission("run", dataclasses.replace(second, job="c")))
    assert [each.id for each in either_store.page()] == ["a"] and log.members("run")[0].job == "a"


def test_a_run_with_an_open_member_does_not_end(either_store: JobStore) -> None:
    log = filled(either_store, 1)
    (member,) = log.members("run")
    success = dataclasses.replace(member, state=MemberState.SUCCESS)
    for is_open in (member, dataclasses.replace(member, state=MemberState.SUBMITTED), success):
        write(log, "run", [is_open])
        assert log.is_open("run") and not log.end("run", done), is_open.state
    write(log, "run", [dataclasses.replace(success, comparison={"": {"Kind": "Nothing"}})])
    log.change("run", lambda run: dataclasses.replace(run, state=RunState.CANCELLING))
    assert not log.end("run", done) and log.get("run").state is RunState.CANCELLING
    log.change("run", lambda run: dataclasses.replace(run, state=RunState.RUNNING))
    assert log.end("run", done) and log.get("run").state is RunState.DONE


def done(run: BulkRun) -> BulkRun:
    return dataclasses.replace(run, state=RunState.DONE, completed=9.0)


def test_a_run_goes_on_when_there_is_something_to_compare_again(either_store: JobStore) -> None:
    log = filled(either_store, 1)
    (member,) = log.members("run")
    write(log, "run", [dataclasses.replace(member, state=MemberState.FAILURE)])
    assert log.end("run", done)
    write(log, "run", [dataclasses.replace(member, state=MemberState.FAILURE, reason="x")])
    assert log.get("run").state is RunState.DONE
    write(log, "run", [dataclasses.replace(member, state=MemberState.SUCCESS)])
    run = log.get("run")
    assert (run.state, run.completed) == (RunState.RUNNING, None) and log.open_runs() == [run]


def test_a_run_is_kept_while_a_decision_is_not_carried_out(either_store: JobStore) -> None:
    log = filled(either_store, 1)
    member = dataclasses.replace(log.members("run")[0], state=MemberState.SUCCESS, comparison={"": {}}, agrees=True)
    write(log, "run", [member])
    with pytest.raises(Conflict, match="is not over"):
        log.delete("run")
    assert log.end("run", done) and log.decide("run", Decision.REPLACE, None) == 1
    with pytest.raises(Conflict, match="decided about 1 members of the run run is not carried out yet"):
        log.delete("run")
    write(log, "run", [dataclasses.replace(member, decision=Decision.REPLACED)])
    log.delete("run")
    assert log.runs() == [] and log.members("run") == []


def test_only_the_orthanc_that_leads_writes_what_the_thread_of_runs_does(jobs_address: str, tmp_path: Path) -> None:
    place = StorePlace(tmp_path / "jobs", jobs_address)
    with closing(place.open("first")) as leading, closing(place.open("second")) as other:
        log, late = filled(leading, 1), BulkLog(other)
        log.add(dataclasses.replace(RUN, id="new"))
        (member,) = late.members("run")
        with pytest.raises(Busy):
            late.put("new", [member], lambda run: dataclasses.replace(run, has_members=True))
        with pytest.raises(Busy):
            late.revise("run", [1], lambda member: dataclasses.replace(member, state=MemberState.FAILURE))
        with pytest.raises(Busy):
            late.change("run", done, leading=True)
        write(log, "run", [dataclasses.replace(member, state=MemberState.SKIPPED)])
        with pytest.raises(Busy):
            late.end("run", done)
        assert log.members("new") == [] and log.members("run")[0].state is MemberState.SKIPPED
        assert late.change("run", done).state is RunState.DONE, "a user may ask any of them"


def test_what_is_decided_is_decided_once_and_only_where_there_are_figures(store: JobStore) -> None:
    log = filled(store)
    one, other, _ = log.members("run")
    success = MemberState.SUCCESS
    write(log, "run", [dataclasses.replace(one, state=success, agrees=True)])
    write(log, "run", [dataclasses.replace(other, state=success, agrees=False)])
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
    write(log, "run", [failed])
    log.retry("run", lambda run: dataclasses.replace(run, state=RunState.RUNNING))
    assert log.members("run") == [first, *others]


def test_a_job_that_was_begun_again_was_begun_within_the_hour_too(either_store: JobStore) -> None:
    log = filled(either_store)
    member, *_ = log.members("run")
    for when in (1.0, 2.0):
        write(log, "run", [dataclasses.replace(member, state=MemberState.FAILURE, job="a", submitted=when)])
        log.retry("run", lambda run: run)
    write(log, "run", [dataclasses.replace(member, state=MemberState.SUBMITTED, job="b", submitted=3.0)])
    assert log.submitted_since("run", 0.0) == [1.0, 2.0, 3.0] and log.submitted_since("run", 1.0) == [2.0, 3.0]


def before_next_transaction(monkeypatch: pytest.MonkeyPatch, store: JobStore, act: Callable[[], object]) -> None:
    """Let others write something just before the next transaction."""
    real = store.transaction

    def transaction(**keys: bool) -> AbstractContextManager[Transaction]:
        monkeypatch.setattr(store, "transaction", real)
        act()
        return real(leading=keys.get("leading", False))

    monkeypatch.setattr(store, "transaction", transaction)


def test_what_has_succeeded_meanwhile_does_not_wait_again(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(store, 1)
    member = dataclasses.replace(log.members("run")[0], state=MemberState.FAILURE, job="a", submitted=1.0)
    write(log, "run", [member])
    success = dataclasses.replace(member, state=MemberState.SUCCESS)
    before_next_transaction(monkeypatch, store, lambda: write(log, "run", [success]))
    log.retry("run", lambda run: run)
    assert log.members("run") == [success]


def test_what_is_decided_meanwhile_stays_decided(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(store, 1)
    write(log, "run", [dataclasses.replace(log.members("run")[0], state=MemberState.SUCCESS)])
    before_next_transaction(monkeypatch, store, lambda: log.decide("run", Decision.DISCARD, [1]))
    log.revise("run", [1], lambda member: dataclasses.replace(member, agrees=True))
    (member,) = log.members("run")
    assert member.agrees and member.decision is Decision.DISCARD


def test_a_failed_member_whose_job_has_succeeded_since_is_known(either_store: JobStore) -> None:
    log = filled(either_store)
    members = log.members("run")
    for name, state in (("a", State.SUCCESS), ("b", State.FAILURE)):
        either_store.add(dataclasses.replace(job(name), state=state), None, most=9)
    failed = [
        dataclasses.replace(member, state=MemberState.FAILURE, job=name)
        for member, name in zip(members, "abc", strict=True)
    ]
    write(log, "run", failed)
    assert log.mended() == [("run", failed[0])]


def test_what_is_not_wanted_any_more_is_discarded_before_it_is_compared(store: JobStore) -> None:
    log = filled(store)
    write(log, "run", [dataclasses.replace(log.members("run")[0], state=MemberState.SUCCESS, derived={"": "new"})])
    assert log.decide("run", Decision.REPLACE, [1, 2]) == 0
    assert log.decide("run", Decision.DISCARD, [1, 2]) == 1, "2 has made nothing"


def test_only_what_has_succeeded_and_has_a_reference_is_to_be_compared(store: JobStore) -> None:
    log = filled(store, 4)
    members = log.members("run")
    done = [dataclasses.replace(member, state=MemberState.SUCCESS) for member in members[:3]]
    done[1] = dataclasses.replace(done[1], reference={})
    done[2] = dataclasses.replace(done[2], comparison={"": {"Kind": "Nothing"}})
    write(log, "run", done)
    assert [member.number for member in log.uncompared("run", 9)] == [1]


def test_open_runs_and_forgotten_ones(store: JobStore) -> None:
    log = filled(store)
    log.add(dataclasses.replace(RUN, id="later", created=9.0))
    assert [run.id for run in log.open_runs()] == ["run", "later"] and [run.id for run in log.runs()] == [
        "later",
        "run",
    ]
    log.change("run", done)
    assert [run.id for run in log.open_runs()] == ["later"]
    log.delete("run")
    assert log.members("run") == []
    with pytest.raises(NotFound, match="there is no run run"):
        log.get("run")
    with pytest.raises(NotFound, match="there is no run run"):
        log.change("run", lambda run: run)
