"""Rules that send a derived series on: the number that came with it chooses where to, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from derived_series.jobs.destination_states import addressed, destinations, with_states
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.requests.verdict import rejection_job_id
from derived_series.jobs.work.delivery import send_on
from rule_world import Pipelines, RuleGateway, World
from test_jobs_store import job

LARGE = {"Derived": "nodules", "Values": {"volume_ml": {"Min": 30}}}
RULES: list[dict[str, Any]] = [
    {"Name": "large", "Match": LARGE, "SendTo": ["surgeon", "archive"]},
    {"Name": "held", "Match": {"Derived": "lungs"}, "SendTo": ["ward"], "HoldUntilAccepted": True},
    {"Name": "next", "Match": LARGE, "Derive": {"Pipeline": "p"}},
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, RULES, Pipelines(p=["seg"]), RuleGateway(tmp_path, {}))
    yield world
    world.close()


def value(number: Any) -> dict[str, Any]:
    return {"Pipeline": "nodules", "Values": {"volume_ml": {"Value": number, "Unit": "ml"}}}


def test_a_large_finding_is_sent_and_starts_the_next_pipeline_once(world: World) -> None:
    world.derived("s", "j", **value(31))
    for _ in range(2):
        assert world.trigger.apply("s")
    job, following = world.jobs()
    assert destinations(job, "s") == {"surgeon": "Pending", "archive": "Pending"}
    assert job.state is State.PENDING, "it runs once more, to deliver"
    assert (following.series, following.request["Pipeline"]) == ("s", "p")
    assert world.texts("large") == ["it is sent to surgeon, archive"]
    assert [(action, user) for user, _, action, _ in world.gateway.acts if action == "Send"] == [("Send", "")]


@pytest.mark.parametrize(
    ("provenance", "remarks"),
    [
        (value(29.9), []),
        (value("31"), ["it does not fire: Values.volume_ml is not a number"]),
        (value(None), ["it does not fire: Values.volume_ml is not a number"]),
        (value(10**400), ["it does not fire: Values.volume_ml is not a number"]),
        ({"Pipeline": "nodules"}, ["it does not fire: Values.volume_ml is missing"]),
        ({"Pipeline": "nodules", "Values": [31]}, ["it does not fire: Values.volume_ml is missing"]),
        ({"Pipeline": "bones"}, []),
    ],
)
def test_without_such_a_number_it_does_not_fire_and_says_so(
    world: World, provenance: dict[str, Any], remarks: list[str]
) -> None:
    world.derived("s", "j", **provenance)
    assert world.trigger.apply("s")
    (job,) = world.jobs()
    assert destinations(job, "s") == {} and job.state is State.SUCCESS
    assert world.texts("large") == world.texts("next") == remarks


def test_a_series_that_waits_for_its_verdict_is_held(world: World) -> None:
    world.derived("s", "j", Pipeline="lungs")
    assert world.trigger.apply("s")
    (job,) = world.jobs()
    assert destinations(job, "s") == {"ward": "Held"} and job.state is State.SUCCESS
    world.reviews.accept("s", {"User": "Anna"})
    world.reviews.settle(job)
    (job,) = world.jobs()
    assert destinations(job, "s") == {"ward": "Pending"} and job.state is State.PENDING


def test_an_accepted_series_waits_for_nobody(world: World) -> None:
    world.derived("s", "j", Pipeline="lungs")
    world.reviews.accept("s", {"User": "Anna"})
    assert world.trigger.apply("s")
    assert destinations(world.jobs()[0], "s") == {"ward": "Pending"}


def test_a_rejected_series_goes_nowhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.derived("s", "j", **value(31))
    monkeypatch.setattr(world.reviews, "of", lambda series: {"State": "Rejected", "User": "Anna"})
    assert world.trigger.apply("s")
    assert set(destinations(world.jobs()[0], "s").values()) == {"Rejected"}
    assert world.texts("large") == ["it is sent nowhere: it is rejected"]


def test_a_series_that_is_rejected_at_this_moment_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody rejects it after the rule has looked for a verdict."""
    world.derived("s", "j", **value(31))
    rejection = job(rejection_job_id("s", "j"), series="s", request={"Verdict": "Reject", "Derivation": "j"})

    def late(*arguments: Any) -> JobRecord:
        if world.store.find(rejection.id) is None:
            world.store.add(rejection, None, most=9)
        return addressed(*arguments)

    monkeypatch.setattr("derived_series.orthanc.reviews.addressed", late)
    for _ in range(2):
        assert not world.trigger.apply("s")
    assert world.store.get("j").state is State.SUCCESS and world.texts("large") == []
    assert world.store.exchange(world.store.get(rejection.id), dataclasses.replace(rejection, state=State.FAILURE))
    assert world.trigger.apply("s")
    assert destinations(world.store.get("j"), "s") == {"surgeon": "Pending", "archive": "Pending"}


def test_a_cancelled_delivery_stays_cancelled_when_a_rule_sends_the_series_elsewhere(world: World) -> None:
    world.derived("s", "j", **value(31))
    former = world.store.get("j")
    result = with_states(former.result or {}, {"s": {"archive": "Cancelled", "pacs": "Cancelled"}})
    world.store.exchange(former, dataclasses.replace(former, state=State.FAILURE, result=result))
    assert world.trigger.apply("s")
    (sent, _) = world.jobs()
    assert sent.state is State.PENDING
    assert destinations(sent, "s") == {"surgeon": "Pending", "archive": "Cancelled", "pacs": "Cancelled"}
    assert send_on(cast(Any, None), with_states(result, {"s": {"pacs": "Cancelled"}})).error is None


def test_it_waits_until_its_job_is_over(world: World) -> None:
    world.derived("s", "j", **value(31))
    whole = world.store.get("j")
    for state in (State.RUNNING, State.RETRY, State.PENDING):
        for result in (whole.result, None):  # the outcome is written after the provenance of the series
            world.store.update(dataclasses.replace(whole, state=state, result=result))
            assert not world.trigger.apply("s")
    assert destinations(world.jobs()[0], "s") == {} and world.texts("large") == []
    world.store.update(whole)
    assert world.trigger.apply("s") and destinations(world.jobs()[0], "s")


def test_a_series_whose_job_is_forgotten_or_is_another_ones_is_not_sent(world: World) -> None:
    world.derived("s", "j", **value(31))
    world.add("t", "SEG", provenance={"Job": "j", **value(99)})
    assert world.trigger.apply("t")
    assert world.texts("large") == ["it is not sent: the job that made it is not remembered any more"]
    assert destinations(world.jobs()[0], "s") == {}


def test_a_series_that_begins_to_wait_is_told_once_and_so_is_its_verdict(world: World) -> None:
    world.derived("s", "j", Pipeline="lungs")
    for _ in range(2):
        assert world.trigger.apply("s")
    waiting = world.outbox.first("watch")
    assert waiting is not None
    wanted = {"Event": "WaitingForReview", "Job": "j", "Series": ["s"], "Pipeline": "p", "Rule": "held"}
    assert wanted.items() <= waiting.fields.items() and waiting.fields["Destinations"] == {"ward": "Held"}
    world.outbox.sent(waiting)
    assert world.outbox.first("watch") is None
    world.reviews.accept("s", {"User": "Anna"})
    accepted = world.outbox.first("watch")
    assert accepted is not None
    (job,) = world.jobs()
    wanted = {"Event": "Accepted", "Job": "j", "Parent": job.series, "Pipeline": "p", "Series": ["s"]}
    assert wanted.items() <= accepted.fields.items()
    assert accepted.fields["JobPath"] == f"/series/{job.series}/jobs/j"


def test_an_accepted_series_does_not_begin_to_wait(world: World) -> None:
    world.derived("s", "j", Pipeline="lungs")
    world.reviews.accept("s", {"User": "Anna"})
    assert world.trigger.apply("s")
    accepted = world.outbox.first("watch")
    assert accepted is not None and accepted.fields["Event"] == "Accepted"
    world.outbox.sent(accepted)
    assert world.outbox.first("watch") is None
