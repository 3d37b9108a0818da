"""Several Orthancs over one PostgreSQL: one leads, all accept and answer; who leads no more writes no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("psycopg")
import psycopg

from derived_series.errors import Busy, Conflict
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.queue import postgresql_database, postgresql_nodes
from derived_series.jobs.queue.completions import Completions
from derived_series.jobs.queue.job_files import TableFiles
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.nodes import GONE, OVER, Part
from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase
from derived_series.jobs.queue.postgresql_nodes import ManyNodes
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import State
from derived_series.jobs.work.entry import WORK
from test_jobs_runner import LIMITS, Scripted, blocked, make_task
from test_jobs_store import job
from waiting import soon

Open = Callable[..., PostgresqlDatabase]


@pytest.fixture
def connect(jobs_address: str) -> Iterator[Open]:
    """Opens databases as Orthancs do."""
    opened: list[PostgresqlDatabase] = []

    def begin(node: str, silent: float = 8.0) -> PostgresqlDatabase:
        database = PostgresqlDatabase(jobs_address, node, silent)
        opened.append(database)
        if database.version == 0:
            database.set_version()
        return database

    yield begin
    for each in opened:
        each.close()


def end_sessions(address: str, node: str) -> None:
    """As a database does that is restarted, or a network that is cut."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
            [f"derived-series {node} %"],
        )


# -- who leads ---------------------------------------------------------------------------------------------------------


def test_one_leads_until_it_ends_and_then_another(connect: Open) -> None:
    a, b = connect("a"), connect("b")
    assert a.contend() == 1 and a.leads
    assert b.contend() is None and not b.leads
    assert a.contend() == 1, "it stays as it is"
    with pytest.raises(Busy), b.transaction(leading=True):
        pass
    a.close()
    assert soon(b.contend) == 2 and b.leads


def test_who_has_lost_its_session_writes_nothing_as_the_one_that_leads(connect: Open, jobs_address: str) -> None:
    a, b = connect("a"), connect("b")
    a.contend()
    with a.transaction(leading=True) as db:
        db.execute("INSERT INTO leftovers (job) VALUES ('kept')")
    end_sessions(jobs_address, "a")
    assert soon(b.contend) == 2
    for _ in range(2):  # on the session that was ended, and on the next one
        with pytest.raises(Busy), a.transaction(leading=True) as db:
            db.execute("INSERT INTO leftovers (job) VALUES ('late')")
    assert not a.leads and a.contend() is None
    with a.reading() as db:
        assert db.execute("SELECT job FROM leftovers").fetchall() == [("kept",)]


def test_a_term_goes_on_where_no_other_has_led_meanwhile(connect: Open, jobs_address: str) -> None:
    a = connect("a")
    assert a.contend() == 1
    end_sessions(jobs_address, "a")
    with pytest.raises(Busy):
        a.contend()
    assert not a.leads and soon(a.contend) == 1 and a.leads


def test_the_server_ends_the_session_of_one_that_is_silent(connect: Open) -> None:
    """As one that is frozen, or whose cable is pulled: its lock does not wait until the network notices."""
    a, b = connect("a", 1.0), connect("b")
    a.contend()
    assert soon(b.contend) == 2
    assert not a.leads


def test_what_is_said_is_heard_by_all(connect: Open) -> None:
    a, b = connect("a"), connect("b", 1.5)
    words: list[str] = []
    listening = threading.Event()
    threading.Thread(target=b.listen, args=(words.append, listening.set), daemon=True).start()
    assert listening.wait(10)
    time.sleep(2.0)  # longer than a session may be silent
    a.tell("new job-1")
    soon(lambda: words == ["new job-1"])


def test_nodes_know_each_other_by_name(connect: Open) -> None:
    a = connect("a")
    with connect("b").locked("reuse"):
        assert [name.split()[0] for name in a.sessions()] == ["a", "b"]


def test_what_one_does_alone_no_other_does_meanwhile(connect: Open) -> None:
    a, b = ManyNodes(connect("a")), ManyNodes(connect("b"))
    order: list[str] = []

    def second() -> None:
        with b.alone("reuse"):
            order.append("b")

    with a.alone("reuse"):
        thread = threading.Thread(target=second)
        thread.start()
        with b.alone("verdicts"):
            order.append("another purpose")
        thread.join(0.3)
        order.append("a")
    thread.join()
    assert order == ["another purpose", "a", "b"]


# -- what they do ------------------------------------------------------------------------------------------------------


class Node:
    """An Orthanc as far as jobs go."""

    def __init__(self, database: PostgresqlDatabase, folder: Path, script: Callable[[DeriveTask], Outcome]):
        self.database = database
        self.executor = Scripted(script)
        self.store = JobStore(folder / database.node, database, TableFiles(database))
        self.nodes = ManyNodes(database)
        self.parts: list[str] = []
        leftovers = Leftovers(self.store, 0.0, lambda uids: 0, lambda: self.nodes.leads)
        self.runner = JobRunner(
            self.store,
            self.executor,
            WORK,
            make_task,
            LIMITS,
            lambda record: 30.0,
            leftovers=leftovers,
            nodes=self.nodes,
        )

        def lead() -> None:
            self.parts.append("lead")
            leftovers.lead()
            self.runner.lead()

        def resign() -> None:
            self.parts.append("resign")
            leftovers.resign()
            self.runner.resign()

        def hear(what: str, job_id: str) -> None:
            if what == GONE:
                self.parts.append(f"{what} {job_id}")
            self.runner.hear(what, job_id)

        self.runner.start()
        self.nodes.start(Part(lead, resign, hear))

    def end(self) -> None:
        self.nodes.stop()
        self.runner.stop()
        self.database.close()


@pytest.fixture
def start(connect: Open, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def begin(name: str, script: Callable[[DeriveTask], Outcome], silent: float = 8.0) -> Node:
        node = Node(connect(name, silent), tmp_path, script)
        nodes.append(node)
        return node

    yield begin
    for node in nodes:
        node.end()


def named(name: str) -> Callable[[DeriveTask], Outcome]:
    return lambda task: Outcome(result={"ID": f"{task.job_id} by {name}"})


def test_a_job_is_accepted_and_waited_for_anywhere_and_run_by_the_one_that_leads(start: Callable[..., Node]) -> None:
    a = start("a", named("a"))
    soon(lambda: a.nodes.leads)
    b = start("b", named("b"))
    for number in range(5):
        b.runner.submit(job(f"{number}"), None)
        done = b.runner.wait(f"{number}", 10)
        assert done.state is State.SUCCESS and done.result == {"ID": f"{number} by a"}
    assert a.runner.wait("0", 1).state is State.SUCCESS and b.executor.calls == []
    assert b.nodes.status() == {"Name": "b", "Leads": False, "All": ["a", "b"]}


def test_a_job_is_cancelled_and_its_progress_told_from_anywhere(start: Callable[..., Node]) -> None:
    a = start("a", blocked)
    soon(lambda: a.nodes.leads)
    b = start("b", blocked)
    b.runner.submit(job("x"), None)
    soon(lambda: b.store.get("x").state is State.RUNNING)
    for node in (a, b):  # whichever Orthanc a worker reaches
        assert not node.runner.tell_progress("x", 2, 50), "another attempt"
        assert node.runner.tell_progress("x", 1, 40, "Processing", "on the way")
    for node in (a, b):
        record = node.store.get("x")
        assert (node.runner.progress_of(record), node.runner.text_of(record)) == (40, "on the way")
    b.runner.cancel("x")
    done = b.runner.wait("x", 10)
    assert done.state is State.FAILURE and done.problem is not None and done.problem.kind == "Cancelled"
    assert not b.runner.runs("x", 1) and not a.runner.runs("x", 1)
    with pytest.raises(Conflict):
        b.runner.cancel("x")
    a.executor.scripts[WORK.derive] = named("a")
    b.runner.resubmit("x")
    assert b.runner.wait("x", 10).state is State.SUCCESS


def test_a_series_is_completed_through_any_orthanc(start: Callable[..., Node]) -> None:
    """A worker may reach one that does not lead, and a user another."""
    a = start("a", blocked)
    soon(lambda: a.nodes.leads)
    b = start("b", blocked)
    for name, worker, user in (("x", a, b), ("y", b, a)):
        user.runner.submit(job(name), None)
        soon(lambda: a.runner.runs(name, 1))  # noqa: B023
        assert worker.runner.begin_completion(name, 1, {"1.2": 3})
        assert worker.runner.note_result(name, 1, {"ID": name})
        user.runner.cancel(name)
        done = user.runner.wait(name, 10)
        assert done.state is State.FAILURE and done.result == {"ID": name}, "it is stored, and stays"
        assert ("discard", name, 1) not in a.executor.calls
        assert not worker.runner.begin_completion(name, 1, {"1.2": 3})


def test_a_cancellation_counts_where_its_word_is_lost(
    start: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    a = start("a", blocked)
    soon(lambda: a.nodes.leads)
    b = start("b", blocked)
    b.runner.submit(job("x"), None)
    soon(lambda: b.store.get("x").state is State.RUNNING)
    monkeypatch.setattr(b.nodes, "tell", lambda what, job_id="": None)
    b.runner.cancel("x")
    done = b.runner.wait("x", 15)
    assert done.problem is not None and done.problem.kind == "Cancelled"


def test_a_table_that_is_new_in_this_version_is_added(connect: Open) -> None:
    with connect("a").transaction() as db:
        db.execute("DROP TABLE completions")
    with connect("b").reading() as db:
        assert db.execute("SELECT count(*) FROM completions").fetchone() == (0,)


def test_what_is_late_takes_no_cancellation_away(connect: Open, tmp_path: Path) -> None:
    database = connect("a")
    store = JobStore(tmp_path, database, TableFiles(database))
    store.add(job("x"), None, most=5)
    assert database.contend() == 1
    assert Completions(store, lambda series: {}, WaitingRoom()).cancel("x")
    assert not store.update(replace(job("x"), state=State.SUCCESS, attempt=7)), "another attempt counts"
    assert store.cancellations() == ["x"]


def test_one_word_that_cannot_be_followed_keeps_no_other_from_being_heard(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_nodes, "_TICK_SECONDS", 0.05)
    a, heard = connect("a"), list[str]()

    def hear(what: str, job_id: str) -> None:
        heard.append(job_id)
        if job_id == "one":
            raise RuntimeError("it cannot be followed")

    nodes = ManyNodes(a)
    nodes.start(Part(lambda: None, lambda: None, hear))
    try:
        soon(lambda: heard)  # it listens, and has looked
        nodes.tell(OVER, "one")
        soon(lambda: "one" in heard)

        def is_heard() -> bool:
            nodes.tell(OVER, "two")
            return "two" in heard

        soon(is_heard)
    finally:
        nodes.stop()


def test_a_large_image_keeps_no_other_orthanc_from_writing(connect: Open, tmp_path: Path) -> None:
    a, b = connect("a"), connect("b")
    assert a.contend() == 1
    of_a, of_b = (JobStore(tmp_path / each.node, each, TableFiles(each)) for each in (a, b))
    real = of_b.files.write_image

    def slow(db: Any, job_id: str, name: str, image: bytes) -> None:
        real(db, job_id, name, image)
        of_a.add(job("y"), None, most=5)  # waits until it may write, and no longer than a statement may take

    of_b.files.write_image = slow  # type: ignore[method-assign]
    of_b.add(replace(job("x"), image="x.nii"), b"content", most=5)
    assert of_a.image_size(of_a.get("x")) == len(b"content")
    assert [each.id for each in of_a.page()] == ["y", "x"]


def test_a_transaction_of_many_statements_is_not_silent(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    a, seconds = connect("a"), [time.monotonic()]
    monkeypatch.setattr(postgresql_database, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    assert a.contend() == 1
    with a.transaction() as db:
        for _ in range(4):
            seconds[0] += 6.0
            db.execute("SELECT 1")
            assert a.leads and not a.is_silent
    assert a.leads


def test_a_server_that_is_frozen_holds_no_request_for_ever(
    connect: Open, jobs_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen server keeps its connections, and no time-out of its own: this side ends them."""
    monkeypatch.setattr(postgresql_database, "_CALL_SECONDS", 0.5)
    monkeypatch.setattr(postgresql_database, "_STATEMENT_SECONDS", 60.0)
    a = connect("a")
    with psycopg.connect(jobs_address, autocommit=True) as other:
        ours = postgresql_database._OURS
        other.execute("SELECT pg_advisory_lock(%s, hashtext('reuse'))", [ours])
        with pytest.raises(Busy, match="does not answer") as ended, a.locked("reuse"):
            pass
    assert "statement timeout" not in ended.value.message, "that is the server's own, which runs"


def test_when_the_one_that_leads_is_gone_another_does_what_it_ran(start: Callable[..., Node]) -> None:
    a = start("a", blocked)
    soon(lambda: a.nodes.leads)
    b = start("b", named("b"))
    b.runner.submit(job("x"), None)
    soon(lambda: b.store.get("x").state is State.RUNNING)
    a.database.close()
    done = b.runner.wait("x", 20)
    assert done.result == {"ID": "x by b"} and done.attempt == 2 and done.attempts_lost_to_restarts == 1


def test_the_one_that_leads_notices_that_another_is_gone(start: Callable[..., Node]) -> None:
    """What that one was about to say of series, it looks up then."""
    a = start("a", blocked)
    soon(lambda: a.nodes.leads)
    b = start("b", blocked)
    soon(lambda: any(name.startswith("b ") for name in a.nodes._others))
    b.database.close()
    start("b", blocked)  # one that is there again at once
    soon(lambda: f"{GONE} b" in a.parts)


def test_one_that_was_cut_off_lets_go_of_what_another_has_taken_up(
    start: Callable[..., Node], jobs_address: str
) -> None:
    late = threading.Event()

    def slow(task: DeriveTask) -> Outcome:
        late.wait(60)
        return Outcome(result={"ID": "late"})

    a = start("a", slow)
    soon(lambda: a.nodes.leads)
    a.runner.submit(job("x"), None)
    soon(lambda: a.store.get("x").state is State.RUNNING)
    b = start("b", named("b"))
    with psycopg.connect(jobs_address) as other:  # as if a's database were away for a while, and not b's
        real = a.database.connect
        a.database.connect = lambda purpose="": (_ for _ in ()).throw(psycopg.OperationalError("away"))  # type: ignore[method-assign]
        end_sessions(jobs_address, "a")
        assert b.runner.wait("x", 20).result == {"ID": "x by b"}
        del other
    a.database.connect = real  # type: ignore[method-assign]
    soon(lambda: "resign" in a.parts)
    soon(a.executor.futures[0].done)  # what runs is ended
    late.set()
    assert not a.nodes.leads and a.store.get("x").result == {"ID": "x by b"}
    assert not a.runner.runs("x", 1)


def test_an_outage_that_no_other_has_used_costs_no_attempt(start: Callable[..., Node], jobs_address: str) -> None:
    gate = threading.Event()

    def waits(task: DeriveTask) -> Outcome:
        gate.wait(60)
        return Outcome(result={"ID": "x"})

    a = start("a", waits)
    soon(lambda: a.nodes.leads)
    a.runner.submit(job("x"), None)
    soon(lambda: a.store.get("x").state is State.RUNNING)
    real = a.database.connect
    a.database.connect = lambda purpose="": (_ for _ in ()).throw(psycopg.OperationalError("away"))  # type: ignore[method-assign]
    end_sessions(jobs_address, "a")
    soon(lambda: not a.nodes.leads)
    time.sleep(1.5)
    with pytest.raises(Busy):  # it cannot be known: a worker is not told that it is not wanted
        a.runner.runs("x", 1)
    a.database.connect = real  # type: ignore[method-assign]
    gate.set()
    done = a.runner.wait("x", 20)
    assert done.state is State.SUCCESS and done.attempt == 1
    assert [part for part in a.parts if GONE not in part] == ["lead"]
