"""Whatever a job, a request or an observer says or raises: it costs no place among those that run, no other job and no
other's answer."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derived_series.errors import Busy, DerivedSeriesError, InvalidParent, InvalidRequest, StorageError
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.plain import encodable, json_bytes, printable
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.requests.derive import DeriveRequest, parse_json
from derived_series.jobs.work.entry import WORK
from derived_series.orthanc.answers import error_answer
from derived_series.orthanc.http import Answer, Request
from derived_series.user_code import described
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_audit import all_jobs
from server_fixtures import derive, finished, settings, submit
from test_jobs_runner import LIMITS, Scripted, make_task
from test_jobs_store import job

#: All of Unicode, lone surrogates and NUL among it.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)

ODD_TEXTS = {
    "NUL": "a\0b",
    "a lone surrogate": "\ud800 and \udfff",
    "all control characters": "".join(map(chr, range(0xA0))),
    "beyond the first plane": "\U0001f9e0 \U0010ffff",
    "a line of another's log": "x\nE0101 00:00:00.000000 main.cpp:1] not Orthanc's own",
    "long": "x" * 2_000_000,
}

ODD_RESULTS: dict[str, Any] = {
    "bytes": {"ID": b"\xff\0"},
    "NaN": {"ID": "x", "Seconds": float("nan"), "More": [float("inf")]},
    "odd text": {"ID": "\ud800\0", "\ud800": "\0"},
    "an object": {"ID": object(), "Set": {1}, "Keys": {(1, 2): 3, None: 4}},
    "long": {"ID": "x" * 2_000_000},
    "a number of many digits": {"ID": 10**5000},
    "not a mapping": ["x"],
}


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@given(ANY_TEXT)
def test_what_goes_into_a_log_is_text_that_any_log_takes(text: str) -> None:
    line = printable(text)
    assert "\0" not in line and line.encode().decode() == line
    assert not {ord(c) for c in line} & ({*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A})
    assert all(part.startswith("    ") for part in line.split("\n")[1:]), "no line looks like another's entry"
    if text.isprintable():
        assert line == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3) | st.sets(st.integers())
        ),
        max_leaves=9,
    )
)
def test_json_is_always_encodable(value: Any) -> None:
    def unknown(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    document = json.loads(json_bytes(value).decode(), parse_constant=unknown)
    try:
        plain = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return
    assert document == json.loads(plain), "what JSON can hold stays as it is"


def test_json_of_what_holds_itself() -> None:
    value: list[Any] = []
    value.append(value)
    assert json_bytes(value)
    assert encodable({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_an_answer_with_an_odd_text(text: str) -> None:
    answer = error_answer(InvalidRequest(text, remedy=text, details=text), Request("GET", text))
    assert answer.status == 400 and json.loads(answer.body)["HttpStatus"] == 400
    assert Answer.of({text[:9]: [text]}).body.decode()


@pytest.mark.parametrize("message", [b"\xff", 5, None, object(), ["x"], Wordless()], ids=type)
def test_an_error_of_ours_with_anything_in_it(message: Any) -> None:
    problem = Problem.of(InvalidParent(message, remedy=message, details=message))
    assert isinstance(problem.message, str) and problem.http_status == 422
    assert json_bytes(problem.to_json())


@pytest.mark.parametrize("status", [200, 99, 9999, "x", None])
def test_an_error_with_a_status_that_http_does_not_have(status: Any) -> None:
    kind = type("Mine", (DerivedSeriesError,), {"http_status": status})
    answer = error_answer(kind("x"), Request("GET", "/"))
    assert answer.status in {each.value for each in HTTPStatus if each.value >= 400}
    assert answer.status == json.loads(answer.body)["HttpStatus"]


def test_an_error_of_a_users_class_crosses_processes_as_the_nearest_of_ours() -> None:
    class Mine(StorageError):
        """Known on one side alone."""

    error = Mine("lost", remedy="wait", transient=True)
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    error.add_note("where")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is StorageError and (copied.message, copied.remedy, copied.transient) == ("lost", "wait", True)
    assert copied.__notes__ == ["where"] and str(copied) == "lost (wait)"


def test_an_exception_that_has_no_text() -> None:
    assert described(Wordless()).startswith("Wordless") and described(ValueError()) == "ValueError"
    assert len(described(ValueError("x" * 10_000_000))) < 30_000


def test_numbers_that_json_cannot_write_again_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too large"):
        parse_json(b'{"Pipeline": "p", "Parameters": {"x": 1e999}}', "the body")
    assert DeriveRequest.of(parse_json(b'{"Pipeline": "p", "Parameters": {"x": 1e300}}', "the body"))


# -- the queue -------------------------------------------------------------------------------------------------------


class Queue:
    """A runner whose script, task maker and observer can be rude."""

    def __init__(self, folder: Path, script: Any, *, make: Any = make_task, observe: Any = lambda job: None):
        self.executor = Scripted(script)
        self.store = JobStore(folder)
        self.runner = JobRunner(self.store, self.executor, WORK, make, LIMITS, lambda record: 30.0, observe)
        self.runner.start()

    def run(self, name: str, **changes: Any) -> JobRecord:
        self.runner.submit(job(name, **changes), None)
        return self.runner.wait(name, 10)


def odd_only(value: Any) -> Any:
    """A script: jobs whose name begins with "odd" end with a value, or raise it."""

    def script(task: DeriveTask) -> Any:
        if not task.job_id.startswith("odd"):
            return Outcome(result={"ID": "x"})
        if isinstance(value, BaseException):
            raise value
        return value

    return script


def goes_on(queue: Queue, folder: Path, odd: int) -> None:
    """More odd jobs than there are places are over, on disk; then others run, also in the next process."""
    for number in range(odd):
        queue.run(f"odd{number}")
    assert queue.run("plain").state is State.SUCCESS
    records = queue.store.page()
    assert {record.state for record in records} <= {State.SUCCESS, State.FAILURE}
    assert json_bytes([record.result for record in records])
    queue.runner.stop()
    queue.store.close()
    again = Queue(folder, odd_only(None))
    assert again.run("plain again").state is State.SUCCESS
    assert len(again.store.page()) == len(records) + 1 and again.store.newest_series(9)
    again.runner.stop()
    again.store.close()


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_the_queue_goes_on_after_an_error_of_any_text(tmp_path: Path, text: str) -> None:
    error = InvalidRequest(text, remedy=text, details=text)
    error.add_note(text)
    queue = Queue(tmp_path, odd_only(Outcome(error=error)))
    goes_on(queue, tmp_path, 3)


@pytest.mark.parametrize("result", ODD_RESULTS.values(), ids=ODD_RESULTS.keys())
def test_the_queue_goes_on_after_any_result(tmp_path: Path, result: Any) -> None:
    goes_on(Queue(tmp_path, odd_only(Outcome(result=result))), tmp_path, 3)


@pytest.mark.parametrize("outcome", [None, b"x", 5, Wordless(), KeyError(b"\xff"), Outcome(error=5)], ids=type)  # type: ignore[arg-type]
def test_an_outcome_that_cannot_be_taken_ends_its_own_job(tmp_path: Path, outcome: Any) -> None:
    queue = Queue(tmp_path, odd_only(outcome))
    done = queue.run("odd")
    assert done.state is State.FAILURE and done.problem is not None and done.completed
    goes_on(queue, tmp_path, 0)


def test_a_job_that_cannot_be_begun_ends_alone(tmp_path: Path) -> None:
    def make(record: JobRecord) -> DeriveTask:
        if record.id.startswith("odd"):
            raise LookupError("\ud800\0")
        return make_task(record)

    queue = Queue(tmp_path, odd_only(None), make=make)
    done = queue.run("odd")
    assert done.state is State.FAILURE and done.problem is not None and "LookupError" in done.problem.message
    goes_on(queue, tmp_path, 3)


@pytest.mark.parametrize("error", [RuntimeError("\ud800\0"), Wordless(), OSError("disk"), Busy("full")], ids=type)
def test_an_observer_that_raises(tmp_path: Path, error: Exception) -> None:
    observed: list[tuple[str, State]] = []

    def observe(record: JobRecord) -> None:
        observed.append((record.id, record.state))
        raise error

    queue = Queue(tmp_path, odd_only(Outcome(result={"ID": "x"})), observe=observe)
    goes_on(queue, tmp_path, 4)
    assert {("odd3", State.RUNNING), ("odd3", State.SUCCESS)} <= set(observed)


def test_an_observer_that_cannot_write_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derived_series.jobs.queue.observation._TELL_AGAIN_SECONDS", 0.05)
    heard = threading.Event()
    refusals = iter(range(2))

    def observe(record: JobRecord) -> None:
        if record.state is State.SUCCESS:
            if next(refusals, None) is not None:
                raise Busy("the disk is full")
            heard.set()

    queue = Queue(tmp_path, odd_only(None), observe=observe)
    queue.run("a")
    assert heard.wait(10)
    queue.runner.stop()


def test_a_row_that_is_not_json_stops_no_other(tmp_path: Path) -> None:
    """As a version before could write it."""
    store = JobStore(tmp_path)
    store.add(job("a", state=State.SUCCESS, result={"ID": "x"}), None, most=9)
    with store.transaction() as db:
        db.execute("UPDATE jobs SET result = '{\"ID\": NaN}', request = '{\"x\": Infinity}'")
        db.execute("PRAGMA user_version=1")
    store.close()
    store = JobStore(tmp_path)
    store.add(job("b"), None, most=9)
    ready = store.next_ready(0.0)
    assert ready is not None and ready.id == "b"
    assert store.undelivered() == [] and store.newest_series(5) == []
    store.forget_oldest(0)
    store.close()


# -- a real Orthanc --------------------------------------------------------------------------------------------------

SPEAKERS = '''
"""Pipelines that say odd things."""
from derived_series import derivation
from derived_series.errors import InvalidParent
from derived_series.pipelines import Parameters, Pipeline

TEXTS = {texts!r}


class Settings(Parameters):
    What: str = ""
    Ours: bool = False
    Any: object = None


class Mine(InvalidParent):
    pass


class Speaker(Pipeline):
    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        text = TEXTS.get(container.parameters.What)
        if container.parameters.Ours:
            raise Mine(text, remedy=text, details=text)
        if text is not None:
            raise ValueError(text)
        return container["parent"].voxels()
'''


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("odd")
    keys = settings(folder / "library")
    texts = {**ODD_TEXTS, "long": "x" * 1_000_000, "bytes": b"\xff\0"}
    (folder / "library" / "speakers.py").write_text(SPEAKERS.format(texts=texts), "utf-8")
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("what", [*ODD_TEXTS, "bytes"])
def test_a_pipeline_that_says_odd_things(server: OrthancServer, what: str, ours: bool) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=2))
    parameters = {"What": what, "Ours": ours}
    for _ in range(3):  # one more than there are workers
        answer = server.post(f"/series/{ct}/derive", json={"Pipeline": "speaker", "Parameters": parameters})
        assert answer.status_code == (422 if ours else 500), answer.text[:500]
        assert answer.json()["Message"]
    assert derive(server, ct, Pipeline="speaker")["InstancesCount"] == 2
    assert all(job["State"] in ("Success", "Failure") for job in all_jobs(server))


def test_odd_parameters_and_the_jobs_after_a_restart(server: OrthancServer) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=2))
    for value in ["a\0b", "\ud800", "\U0010ffff", "x" * 10_000_000, {"\0": ["\udc00"]}]:
        body = json.dumps({"Pipeline": "speaker", "Parameters": {"Any": value}, "Asynchronous": True})
        answer = server.post(f"/series/{ct}/derive", data=body)
        assert answer.status_code in (200, 400), answer.text[:500]
        if answer.status_code == 200:
            assert finished(server, answer.json()["ID"])["State"] in ("Success", "Failure")
    for body in [  # type: ignore[assignment]
        b"\xff",
        b'{"Pipeline": "\\ud800\\u0000"}',
        b'{"\\ud800": 1}',
        b'{"Pipeline": "speaker", "Parameters": {"\\ud800": 1}}',
    ]:
        answer = server.post(f"/series/{ct}/derive", data=body)
        assert answer.status_code in (400, 404) and answer.json()["Message"], answer.text
    assert server.get("/derived-series/jobs?expand").status_code == 200
    server.restart()
    assert finished(server, submit(server, ct, Pipeline="speaker"))["State"] == "Success"
    assert len(all_jobs(server)) > 3
