"""Notices: what is told of which change, written with it, sent in order until it is taken, without a patient's data."""

from __future__ import annotations

import dataclasses
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import Busy, InvalidRequest, NotFound, StorageError
from derived_series.jobs.destination_states import with_states
from derived_series.jobs.messages import Outcome
from derived_series.jobs.notices.events import events_of, fields_of
from derived_series.jobs.notices.fields import EVENTS, OF_A_PATIENT, OF_NOBODY, REMEDIES, Event
from derived_series.jobs.notices.messenger import Messenger
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.notices.outbox import Notice, Outbox
from derived_series.jobs.notices.receiver import Receiver
from derived_series.jobs.notices.signature import signed_headers
from derived_series.jobs.notices.template import fields_in, rendered
from derived_series.jobs.pool.worker import WorkerDied
from derived_series.jobs.queue.database import Transaction
from derived_series.jobs.queue.outcomes import CANCELLED
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.work.entry import WORK
from derived_series.orthanc.config import Settings
from notice_receiver import SECRET, NoticeReceiver, Received, notice_receiver
from test_jobs_runner import LIMITS, Script, Scripted, fails_until, make_task
from test_jobs_store import job

PATIENT = {"PatientName": "Doe^Jane", "PatientID": "SECRET-ID"}
#: What belongs to a patient, in every place where a job has it.
SECRETS = ("SECRET", "Doe^Jane", "1.2.826")


def receiver(url: str = "http://127.0.0.1:9/", **keys: Any) -> Receiver:
    return Receiver.model_validate({"URL": url, "RetryPause": 0.05, **keys})


# -- what is sent ---------------------------------------------------------------------------------------------------


def test_a_notice_is_signed_as_standard_webhooks_has_it() -> None:
    """The example of the specification's own libraries."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, secret) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert "webhook-signature" not in signed_headers("msg", 1, body, None)


def test_a_template_is_filled_value_by_value() -> None:
    fields = {"Text": 'a "quote"\n', "Attempt": 3, "Series": ["x", "y"], "Rule": None, "Destinations": {"pacs": "Held"}}
    chat = {"text": "{Text} ({Attempt}, {Rule}, {Series}, {Destinations})", "n": "{Attempt}", "all": ["{Series}", 1]}
    body, content_type = rendered(chat, fields)
    assert content_type == "application/json"
    text = 'a "quote"\n     (3, , x, y, pacs: Held)'
    assert json.loads(body) == {"text": text, "n": 3, "all": [["x", "y"], 1]}
    assert rendered("{{{Attempt}}}", fields) == (b"{3}", "text/plain; charset=utf-8")
    assert json.loads(rendered(None, fields)[0]) == fields
    assert list(fields_in(chat)) == ["Text", "Attempt", "Rule", "Series", "Destinations", "Attempt", "Series"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"URL": "hooks.example.org/T0KEN"}, "not a URL that can be sent to"),
    ({"URL": "ftp://example.org/T0KEN"}, "not a URL that can be sent to"),
    ({"URL": "http://example.org:port/T0KEN"}, "its host or its port cannot be read"),
    ({"URL": "http://example.org/T0 KEN"}, "blanks"),
    ({"Events": ["Failure", "Success", "Failure"]}, "Events: Failure is there more than once"),
    ({"Template": ""}, "Template: it is empty"),
    ({"URL": "https://example.org/a b"}, "it has blanks, which a URL cannot have"),
    ({"Events": ["Failed"]}, "'Success', 'Failure'"),
    ({"Events": []}, "at least one is needed"),
    ({"Secret": "T0KEN"}, "it has 5 bytes"),
    ({"Secret": "whsec_T0KEN-"}, "is not base64"),
    ({"Secret": ""}, "it is empty: is its environment variable set?"),
    ({"URL": ""}, "it is empty: is its environment variable set?"),
    ({"Headers": {"Webhook-Id": "T0KEN"}}, "Webhook-Id is set by the plugin itself"),
    ({"Headers": {"Authorization": "T0KEN\n"}}, "the value of Authorization"),
    ({"Template": {"text": "{Nothing}"}}, "there is no field 'Nothing'"),
    ({"Template": "{Job.__class__}"}, "a field's name alone"),
    ({"Template": "{Job!r}"}, "a field's name alone"),
    ({"Template": "{Job:>9999999}"}, "a field's name alone"),
    ({"Template": "{0}"}, "a field's name alone"),
    ({"Template": "{Job"}, "expected '}'"),
    ({"Template": "{PatientName}"}, "PatientName may be a patient's: set IncludePatientData"),
    ({"Timeout": 0}, "Timeout"),
    ({"Url": "http://a", "URL": "http://b"}, "unknown key 'Notify.0.Url'"),
]


@pytest.mark.parametrize(("keys", "words"), WRONG)
def test_a_receiver_that_cannot_be_one_is_refused_without_its_tokens(keys: dict[str, Any], words: str) -> None:
    entry = {"URL": "https://example.org/hook/T0KEN", **keys}
    with pytest.raises(InvalidRequest) as refusal:
        Settings.of({"Notify": [entry]})
    assert words in refusal.value.message and "T0KEN" not in str(refusal.value)


def test_receivers_are_told_apart_and_show_no_tokens() -> None:
    first = {"Url": "https://example.org/T0KEN", "Secret": SECRET, "Headers": {"Authorization": "T0KEN"}}
    with pytest.raises(InvalidRequest, match=r"several receivers go by 'example.org': give each a Name"):
        Settings.of({"Notify": [first, first]})
    settings = Settings.of({"Notify": [first, {**first, "Name": "second"}]})
    assert [each.key for each in settings.notify] == ["example.org", "second"]
    assert "T0KEN" not in repr(settings) and SECRET not in repr(settings)
    allowed = receiver(IncludePatientData=True, Template="{PatientName}")
    assert allowed.template == "{PatientName}"


# -- what is told of which change ------------------------------------------------------------------------------------

HELD, SENT_ON = ({"ID": "x", "Destinations": {"pacs": state}} for state in ("Held", "Success"))
TWO_SERIES = with_states({"Series": [{"ID": "x"}, {"ID": "y"}]}, {"x": {"pacs": "Success"}, "y": {"pacs": "Held"}})
HOLD = {"Pipeline": "p", "HoldUntilAccepted": True, "Destinations": ["pacs"]}
CHANGES: dict[str, tuple[State, dict[str, Any], bool, list[Event]]] = {
    "success": (State.RUNNING, {"state": State.SUCCESS, "result": {"ID": "x"}}, False, ["Success"]),
    "success, written again": (State.SUCCESS, {"state": State.SUCCESS}, False, []),
    "failure": (State.RUNNING, {"state": State.FAILURE}, False, ["Failure"]),
    "failure, written again": (State.FAILURE, {"state": State.FAILURE}, False, []),
    "a dry run": (State.RUNNING, {"state": State.FAILURE, "request": {"DryRun": True}}, False, []),
    "another attempt": (State.RUNNING, {"state": State.RETRY}, False, []),
    "cancelled": (State.PENDING, {"state": State.FAILURE, "problem": CANCELLED}, False, ["Cancelled"]),
    "not delivered": (State.RUNNING, {"state": State.FAILURE, "result": SENT_ON}, False, ["DeliveryFailure"]),
    "a worker, tried again": (State.RUNNING, {"state": State.RETRY}, True, ["WorkerGone"]),
    "a worker, written again": (State.RETRY, {"state": State.RETRY}, True, []),
    "a worker, at last": (State.RUNNING, {"state": State.FAILURE}, True, ["WorkerGone", "Failure"]),
    "held": (
        State.RUNNING,
        {"state": State.SUCCESS, "request": HOLD, "result": HELD},
        False,
        ["Success", "WaitingForReview"],
    ),
    "released": (State.RUNNING, {"state": State.SUCCESS, "request": HOLD, "result": SENT_ON}, False, ["Delivered"]),
    "sent on by a rule": (State.RUNNING, {"state": State.SUCCESS, "result": SENT_ON}, False, ["Delivered"]),
    "one of two released": (
        State.RUNNING,
        {"state": State.SUCCESS, "request": HOLD, "result": TWO_SERIES},
        False,
        ["Delivered"],
    ),
    "rejected": (State.RUNNING, {"state": State.SUCCESS, "request": {"Verdict": "Reject"}}, False, ["Rejected"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_change_tells(what: str) -> None:
    before, changes, worker_died, events = CHANGES[what]
    record = job("a", **changes)
    assert events_of(record, before, worker_died=worker_died) == events
    for event in events:
        fields = fields_of(event, record, "a rule")
        assert fields["Event"] == event and fields["Rule"] == "a rule" and fields["Text"]
        assert set(fields) <= set(OF_NOBODY)


def test_what_was_not_delivered_is_told_in_a_sentence() -> None:
    record = job("a", state=State.FAILURE, result=SENT_ON, problem=Problem.of(StorageError("no")))
    text = fields_of("DeliveryFailure", record, None)["Text"]
    assert text.endswith("is stored, but not every destination has taken it (StorageError)")


def test_every_event_can_be_told() -> None:
    from_jobs = {event for *_, events in CHANGES.values() for event in events}
    assert from_jobs | {"Accepted", "RuleFailure"} == set(EVENTS)
    assert not set(OF_NOBODY) & set(OF_A_PATIENT)


def test_who_asks_for_failures_is_told_of_all_failed_jobs() -> None:
    assert receiver(Events=["Failure"]).wants("DeliveryFailure")
    assert not receiver(Events=["DeliveryFailure"]).wants("Failure")


def failed(**changes: Any) -> JobRecord:
    """A job with a patient's data wherever a job may have it."""
    request = {
        "Pipeline": "p",
        "SeriesDescription": "SECRET",
        "Parameters": {"Note": "SECRET"},
        "Replace": {"PatientName": "Doe^Jane"},
        "User": "SECRET",
        "Derivation": "SECRET",
    }
    problem = Problem("SECRET", 500, "cannot do Doe^Jane", "ask SECRET", "1.2.826")
    result = {"ID": "s-1", "SeriesInstanceUID": "1.2.826", "Warnings": ["SECRET"], "Values": {"SECRET": 1}}
    return job("a", state=State.FAILURE, request=request, problem=problem, result=result, **changes)


def test_nothing_of_a_patient_is_told_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Whatever is in the job: what may be told is chosen, not what may not."""
    with closing(JobStore(tmp_path)) as store:
        receivers = [receiver(Name="public"), receiver(Name="trusted", IncludePatientData=True)]
        outbox = Outbox(store, [each.key for each in receivers])
        notifier = Notifier(
            outbox, [Messenger(each, outbox) for each in receivers], "here", lambda _: None, lambda _: PATIENT
        )
        running = dataclasses.replace(failed(), state=State.RUNNING, problem=None)
        store.add(running, None, most=9)
        store.update(failed(), notifier.of_job(failed(), worker_died=True))
        for problem in (Problem.of(NotFound("SECRET")), Problem.of(StorageError("Doe^Jane"))):
            with store.transaction() as db:
                write = notifier.of_rules("s-1", problem)
                assert write is not None
                write(db)
        count = 0
        while (notice := outbox.first("public")) is not None:
            text = json.dumps(notice.fields)
            assert [word for word in SECRETS if word in text] == [], text
            assert notice.fields["Remedy"] in (None, *REMEDIES.values())
            outbox.sent(notice)
            count += 1
        assert count == 4
        trusted = outbox.first("trusted")
        assert trusted is not None and PATIENT.items() <= trusted.fields.items()
        assert trusted.fields["Message"] == "cannot do Doe^Jane ask SECRET" and trusted.fields["User"] == "SECRET"
        assert trusted.fields["Error"] == "DerivedSeriesError", "a class of a user's own may have any name"


# -- written with what it tells --------------------------------------------------------------------------------------


class Started:
    """A runner that tells receivers, by threads that are started or not."""

    def __init__(self, folder: Path, script: Script, receivers: list[Receiver], *, sends: bool = True):
        self.store = JobStore(folder)
        self.outbox = Outbox(self.store, [each.key for each in receivers])
        messengers = [Messenger(each, self.outbox) for each in receivers]
        self.notifier = Notifier(self.outbox, messengers, "here", lambda _: None, lambda _: {})
        self.runner = JobRunner(
            self.store,
            Scripted(script),
            WORK,
            make_task,
            LIMITS,
            lambda record: 30.0,
            announcer=self.notifier,
        )
        self.runner.start()
        if sends:
            self.notifier.start()

    def run(self, name: str, **changes: Any) -> JobRecord:
        self.runner.submit(job(name, **changes), None)
        return self.runner.wait(name, 10)

    def wait_until_sent(self, count: int) -> None:
        """Return when so many notices are written down as taken, which is after they are."""
        end = time.monotonic() + 10
        while (sent := self.outbox.tallies()["127.0.0.1"].sent) != count:
            assert time.monotonic() < end, sent
            time.sleep(0.01)

    def stop(self) -> None:
        self.runner.stop()
        self.notifier.stop()
        self.store.close()


Start = Callable[..., Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Started] = []

    def begin(script: Script, *receivers: Receiver, sends: bool = True) -> Started:
        running.append(Started(tmp_path / "jobs", script, list(receivers), sends=sends))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def hook() -> Iterator[NoticeReceiver]:
    with notice_receiver() as server:
        yield server


def events_in(requests: list[Received]) -> list[tuple[str, str]]:
    return [(request.json["Event"], request.json["Job"]) for request in requests]


def test_a_failed_job_tells_once_and_again_when_it_fails_again(start: Start, hook: NoticeReceiver) -> None:
    started = start(fails_until(9, NotFound("gone")), receiver(hook.url, Secret=SECRET, Headers={"X-Ours": "1"}))
    assert started.run("a").state is State.FAILURE
    (first,) = hook.wait(lambda requests: len(requests) == 1)
    assert first.is_signed_with(SECRET) and not first.is_signed_with("whsec_" + "A" * 32)
    assert first.headers["content-type"] == "application/json" and first.headers["x-ours"] == "1"
    assert first.json["ID"] == first.id and first.json["Server"] == "here"
    started.runner.resubmit("a")
    first, second = hook.wait(lambda requests: len(requests) == 2)
    assert events_in([first, second]) == [("Failure", "a")] * 2 and first.id != second.id
    started.wait_until_sent(2)


def test_a_disk_that_takes_it_late_lets_it_be_told_once(
    start: Start, hook: NoticeReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a job is written, and what follows fails: all of it is done again."""
    started = start(lambda task: Outcome(error=NotFound("gone")), receiver(hook.url))
    forget, failures = started.store.forget_oldest, iter([Busy("full"), Busy("full")])

    def full(keep: int) -> None:
        for error in failures:
            raise error
        forget(keep)

    monkeypatch.setattr(started.store, "forget_oldest", full)
    started.run("a")
    started.run("b")
    assert events_in(hook.wait(lambda requests: len(requests) >= 2)) == [("Failure", "a"), ("Failure", "b")]


def test_a_death_that_is_tried_again_tells_that_the_worker_is_gone_once(start: Start, hook: NoticeReceiver) -> None:
    everything = receiver(hook.url, Events=list(EVENTS))
    started = start(fails_until(2, WorkerDied(-9)), everything)
    assert started.run("a").state is State.SUCCESS
    requests = hook.wait(lambda requests: len(requests) == 2)
    assert events_in(requests) == [("WorkerGone", "a"), ("Success", "a")]
    gone = requests[0].json
    assert (gone["Error"], gone["Remedy"]) == (None, None), "nobody has to do anything"


def test_a_worker_that_is_ended_by_us_is_not_gone(start: Start, hook: NoticeReceiver) -> None:
    begun = threading.Event()

    def blocks(task: Any) -> Outcome:
        begun.set()
        time.sleep(30)
        return Outcome()

    started = start(blocks, receiver(hook.url, Events=list(EVENTS)))
    started.runner.submit(job("a"), None)
    assert begun.wait(10)
    started.runner.cancel("a")
    started.runner.wait("a", 10)
    assert events_in(hook.wait(lambda requests: len(requests) == 1)) == [("Cancelled", "a")]


def test_what_cannot_be_written_is_not_told_and_nothing_is_written_without_it(tmp_path: Path) -> None:
    with closing(JobStore(tmp_path)) as store:
        outbox = Outbox(store, ["r"])
        record = job("a", state=State.RUNNING)
        store.add(record, None, most=9)

        def write(db: Transaction) -> None:
            outbox.put(db, [Notice("msg_1", "r", {}, 0.0)])
            raise sqlite3.OperationalError("disk full")

        with pytest.raises(Busy):
            store.update(dataclasses.replace(record, state=State.FAILURE), write)
        assert outbox.first("r") is None and store.get("a").state is State.RUNNING


def test_a_process_that_ends_leaves_its_notices_to_the_next(start: Start, hook: NoticeReceiver) -> None:
    """Nothing is sent by the first: as a crash would have it, between the end of a job and its notice."""
    started = start(fails_until(9, NotFound("gone")), receiver(hook.url), receiver(Name="former"), sends=False)
    for name in "abc":
        started.run(name)
    started.stop()
    again = start(fails_until(9, NotFound("gone")), receiver(hook.url))
    assert events_in(hook.wait(lambda requests: len(requests) >= 3)) == [("Failure", name) for name in "abc"]
    assert set(again.outbox.tallies()) == {"127.0.0.1"}, "what waited for a receiver that is gone is given up"
    with again.store.transaction() as db:
        assert db.execute("SELECT given_up FROM notice_counts WHERE receiver = 'former'").fetchone() == (3,)


# -- sent until it is taken ------------------------------------------------------------------------------------------


def test_a_receiver_that_is_down_hears_all_in_order_and_delays_no_other(start: Start, hook: NoticeReceiver) -> None:
    with notice_receiver() as other:
        started = start(
            fails_until(9, NotFound("gone")), receiver(hook.url, Name="down"), receiver(other.url, Name="up")
        )
        hook.stop()
        for name in "abcde":
            started.run(name)
        assert len(other.wait(lambda requests: len(requests) == 5)) == 5
        assert started.outbox.tallies()["down"].waiting == 5 and hook.requests == []
        hook.start()
        assert events_in(hook.wait(lambda requests: len(requests) == 5)) == [("Failure", name) for name in "abcde"]


def test_an_attempt_that_failed_is_made_again_with_the_same_identifier(
    start: Start, hook: NoticeReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = {"Location": f"http://127.0.0.1:{hook.port}/elsewhere"}
    answers = iter([(500, {}), (302, elsewhere), (429, {"Retry-After": "0"}), (404, {})])
    hook.answer = lambda request: next(answers, (200, {}))
    with caplog.at_level(logging.INFO, "derived_series"):
        start(fails_until(9, NotFound("gone")), receiver(hook.url)).run("a")
        hook.wait(lambda requests: len(requests) == 1)
    assert [request.status for request in hook.requests] == [500, 302, 429, 404, 200]
    assert len({request.id for request in hook.requests}) == len({request.body for request in hook.requests}) == 1
    lines = [record for record in caplog.records if "has not reached" in record.message]
    line = 'the notice "Failure" has not reached "127.0.0.1" yet: HTTP 500; next attempt in 0.1 s'
    assert line in lines[0].message.replace("0.05", "0.1")
    assert {record.job for record in lines} == {"a"}  # type: ignore[attr-defined]
    assert "T0KEN" not in caplog.text


def test_a_receiver_may_ask_to_be_left_alone_for_a_while(tmp_path: Path, hook: NoticeReceiver) -> None:
    hook.answer = lambda request: (503, {"Retry-After": "600"})
    with closing(JobStore(tmp_path)) as store:
        outbox = Outbox(store, ["127.0.0.1"])
        with store.transaction() as db:
            outbox.put(db, [Notice("msg_1", "127.0.0.1", {"Event": "Failure"}, time.time())])
        messenger = Messenger(receiver(hook.url), outbox)
        messenger.start()
        end = time.monotonic() + 20
        while (notice := outbox.first("127.0.0.1")) is None or notice.attempts == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        messenger.stop()
        messenger.join(5)
        assert notice.next_try > time.time() + 500 and messenger.problem == "HTTP 503"


def test_what_a_receiver_refuses_keeps_none_behind_it(start: Start, hook: NoticeReceiver) -> None:
    statuses = iter([400, 413])
    hook.answer = lambda request: (next(statuses, 200), {})
    started = start(fails_until(9, NotFound("gone")), receiver(hook.url, RetryPause=3600))
    for name in "abc":
        started.run(name)
    assert events_in(hook.wait(lambda requests: len(requests) == 1)) == [("Failure", "c")]
    assert [request.status for request in hook.requests] == [400, 413, 200]


def test_what_is_too_old_is_given_up_with_a_line_and_a_count(
    start: Start, hook: NoticeReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = iter([500, 503, 404])
    hook.answer = lambda request: (next(statuses, 200), {})
    short = receiver(hook.url, GiveUpHours=1e-9)
    started = start(fails_until(9, NotFound("gone")), short)
    with caplog.at_level(logging.ERROR, "derived_series"):
        for name in "abcd":
            started.run(name)
        assert events_in(hook.wait(lambda requests: len(requests) == 1)) == [("Failure", "d")], (
            "it keeps none behind it"
        )
    assert [request.status for request in hook.requests] == [500, 503, 404, 200]
    given_up = [record.getMessage() for record in caplog.records if "given up" in record.getMessage()]
    assert given_up == [
        f'the notice "Failure" was not taken by "127.0.0.1" and is given up after 1 attempt: HTTP {status}'
        for status in (500, 503, 404)
    ]
    started.wait_until_sent(1)
    assert started.outbox.tallies()["127.0.0.1"].given_up == 3
    assert started.notifier.status()[0]["GivenUp"] == 3


def test_so_many_wait_and_no_more(tmp_path: Path) -> None:
    with closing(JobStore(tmp_path)) as store:
        outbox = Outbox(store, ["r", "other"], most=3)
        for number in range(5):
            with store.transaction() as db:
                outbox.put(db, [Notice(f"msg_{number}", name, {}, 0.0) for name in ("r", "other")][: 1 + (number == 0)])
        first = outbox.first("r")
        assert first is not None and first.id == "msg_2"
        assert outbox.tallies()["r"].given_up == 2 and outbox.tallies()["other"].waiting == 1


def test_a_ca_bundle_that_is_not_there_is_a_warning_and_a_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(JobStore(tmp_path)) as store:
        outbox = Outbox(store, ["hook"])
        messenger = Messenger(receiver(Name="hook"), outbox, str(tmp_path / "ca.pem"))
        messenger.start()
        messenger.stop()
        messenger.join(5)
        assert messenger.problem == f"its CaBundle {tmp_path / 'ca.pem'} is not there"
        assert f'the receiver "hook" of notices: {messenger.problem}' in caplog.text
        (tmp_path / "ca.pem").touch()
        assert messenger.problem is None


def test_a_rejection_tells_the_job_that_made_the_series(tmp_path: Path) -> None:
    with closing(JobStore(tmp_path)) as store:
        outbox = Outbox(store, ["hook"])
        made_by = job("maker", state=State.SUCCESS, result={"ID": "x"})
        store.add(made_by, None, most=9)
        watch = Messenger(receiver(Name="hook", Events=["Rejected"]), outbox)
        notifier = Notifier(outbox, [watch], "here", lambda _: "a rule", lambda _: {}, job_of=store.find)
        rejection = job("rejection", request={"Verdict": "Reject", "Derivation": "maker"})
        rejection = dataclasses.replace(rejection, series="x", state=State.RUNNING)
        store.add(rejection, None, most=9)
        over = dataclasses.replace(rejection, state=State.SUCCESS)
        store.update(over, notifier.of_job(over, worker_died=False))
        notice = outbox.first("hook")
    assert notice is not None
    wanted = {"Event": "Rejected", "Job": "maker", "Parent": made_by.series, "Series": ["x"], "Rule": "a rule"}
    assert wanted.items() <= notice.fields.items()
    assert notice.fields["JobPath"] == f"/series/{made_by.series}/jobs/maker" and notice.fields["Pipeline"] == "p"
    assert notice.fields["PagePath"] == "/derived-series/review/x"


def test_each_event_leads_to_a_page_that_shows_it() -> None:
    """Of a failure that is the job's, though an earlier attempt, or one before a delivery, has stored a series."""
    succeeded = job("done", state=State.SUCCESS, result={"ID": "x"})
    of_job = ("Failure", "DeliveryFailure", "Cancelled", "WorkerGone")
    for event in EVENTS:
        if event != "RuleFailure":  # there is no job
            page = "/derived-series/?text=done" if event in of_job else "/derived-series/review/x"
            assert fields_of(event, succeeded, None)["PagePath"] == page, event
    assert fields_of("Failure", job("lost", state=State.FAILURE), None)["PagePath"] == "/derived-series/?text=lost"
