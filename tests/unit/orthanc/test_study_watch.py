"""Rules that wait for a study: in time, over time, late, and over restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from derived_series.jobs.record import State
from derived_series.jobs.rules.evaluate import SeriesFacts
from derived_series.jobs.rules.study_waits import WaitState
from derived_series.orthanc.firing import Firer
from derived_series.orthanc.studies import StudyReader
from rule_world import Pipelines, RuleGateway, World

Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A world, or the same one after a restart."""
    worlds: list[World] = []
    gateway = RuleGateway(tmp_path, {})

    def begin(*rules: dict[str, Any], **pipelines: Any) -> World:
        for each in worlds:
            each.close()
        world = World(tmp_path, rules, Pipelines(**{"p": ["ct"], **pipelines}), gateway)
        worlds.append(world)
        return world

    yield begin
    worlds[-1].close()


def rule(**keys: Any) -> dict[str, Any]:
    expected = {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}}
    wait = {"Series": expected, "Seconds": 3600, **keys.pop("WaitFor", {})}
    return {"Name": "r", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}, "WaitFor": wait, **keys}


def test_it_fires_once_when_the_last_series_is_stable_over_restarts(start: Start) -> None:
    world = start(rule())
    world.came("c", "CT")
    assert world.jobs() == [] and world.wait_of("r").missing == {"pet": (0, 1)}
    (shown,) = world.watch.to_json(world.rules[0])
    assert shown["State"] == "Waiting" and shown["Missing"] == {"pet": {"There": 0, "Wanted": 1}}
    left = world.look_at_time()
    assert left is not None and 3500 < left <= 3600
    since = world.wait_of("r").since
    world = start(rule())
    world.came("m", "MR")
    assert world.trigger.apply("c"), "it has become stable again"
    assert world.wait_of("r").since == since and world.jobs() == []
    world.came("p", "PT")
    (job,) = world.jobs()
    assert (job.series, job.request["Pipeline"], job.state) == ("c", "p", State.PENDING)
    for series in "cp":
        assert world.trigger.apply(series)
    world.let_time_pass()
    world = start(rule())
    assert world.look_at_time() is None and len(world.jobs()) == 1
    assert world.wait_of("r").state is WaitState.COMPLETE and world.watch.to_json(world.rules[0]) == []
    assert world.texts("r") == ["the study is complete: 1 job is made"]


@pytest.mark.parametrize("otherwise", ["Run", "Nothing", "Fail", {"Derive": {"Pipeline": "q"}}])
def test_what_happens_when_its_time_is_over_and_when_the_rest_comes_late(start: Start, otherwise: Any) -> None:
    rules = [rule(WaitFor={"Otherwise": otherwise})]
    world = start(*rules, q=["ct"])
    world.came("c", "CT")
    world.let_time_pass()
    world = start(*rules, q=["ct"])
    world.look_at_time()
    world = start(*rules, q=["ct"])
    world.look_at_time()
    assert world.trigger.apply("c")
    jobs = [(job.request["Pipeline"], job.state) for job in world.jobs()]
    name = otherwise if isinstance(otherwise, str) else "Derive"
    expected = {
        "Run": [("p", State.PENDING)],
        "Nothing": [],
        "Fail": [("p", State.FAILURE)],
        "Derive": [("q", State.PENDING)],
    }
    assert jobs == expected[name], "once"
    assert world.wait_of("r").state is WaitState.LATE
    (shown,) = world.watch.to_json(world.rules[0])
    assert shown["State"] == "Late" and list(shown["Missing"]) == ["pet"]
    assert world.texts("r")[0].startswith("3600 s are over, and the study lacks pet (0 of 1): ")
    if name == "Fail":
        (failed,) = world.jobs()
        assert failed.problem is not None and "pet (0 of 1)" in failed.problem.message and failed.completed
        assert failed.series == "c" and "send what is missing" in str(failed.problem.remedy)
        notice = world.outbox.first("watch")
        assert notice is not None and notice.fields["Event"] == "Failure" and notice.fields["Rule"] == "r"
        assert notice.fields["Job"] == failed.id and "pet" not in str(notice.fields)
    world.came("p", "PT")
    late = world.jobs()[len(jobs) :]
    assert [job.request["Pipeline"] for job in late] == ([] if name == "Run" else ["p"])
    assert world.wait_of("r").state is WaitState.COMPLETE
    assert "complete, after its time" in world.texts("r")[0]
    if name == "Derive":
        assert late[0].subject == world.jobs()[0].subject and late[0].request["IfExists"] == "Replace"
    assert world.trigger.apply("p") and len(world.jobs()) == len(jobs) + len(late)


def test_with_an_optional_input_the_late_series_replaces_what_was_made_without_it(start: Start) -> None:
    inputs = {"Match": None, "Inputs": {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}}, "Optional": ["pet"]}
    keys = {key: value for key, value in rule(WaitFor={"Otherwise": "Run"}, **inputs).items() if value is not None}
    world = start(keys, p=["ct", "pet"])
    world.came("c", "CT")
    assert world.jobs() == [], "it waits though it could run without"
    world.let_time_pass()
    world.look_at_time()
    world.came("p", "PT")
    first, second = world.jobs()
    assert "Inputs" not in first.request and second.request["Inputs"] == {"pet": "p"}
    assert first.subject == second.subject


def test_a_needed_input_that_is_missing_cannot_be_run_without(start: Start) -> None:
    inputs = {"Match": None, "Inputs": {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}}}
    keys = {key: value for key, value in rule(WaitFor={"Otherwise": "Run"}, **inputs).items() if value is not None}
    world = start(keys, p=["ct", "pet"])
    world.came("c", "CT")
    world.let_time_pass()
    world.look_at_time()
    assert world.jobs() == []
    assert world.texts("r")[0].endswith("nothing can be derived: there is no stable series for pet in the study")


def test_a_series_that_is_still_coming_is_waited_for(start: Start) -> None:
    world = start(rule(WaitFor={"Otherwise": "Fail"}))
    world.came("c", "CT")
    world.add("p", "PT")
    world.gateway.resources["/series/p"]["IsStable"] = False
    world.let_time_pass()
    world.look_at_time()
    assert world.jobs() == [] and world.wait_of("r").state is WaitState.WAITING
    world.gateway.resources["/series/p"]["IsStable"] = True
    assert world.trigger.apply("p")
    assert [job.state for job in world.jobs()] == [State.PENDING]


def test_a_study_that_is_gone_and_a_rule_that_is_gone_are_let_go(start: Start) -> None:
    world = start(rule())
    world.came("c", "CT")
    world.let_time_pass()
    kept = world.gateway.resources.pop("/studies/study")
    world.look_at_time()
    assert world.jobs() == []
    world.gateway.resources["/studies/study"] = kept
    world = start({**rule(), "Name": "another"})
    assert world.waits.all() == []


def test_another_derivation_takes_the_inputs_that_it_has(start: Start) -> None:
    inputs = {
        "Match": None,
        "Inputs": {"pet": {"Modality": "PT"}, "ct": {"Modality": "CT"}, "mask": {"Modality": "SEG"}},
        "Optional": ["pet", "mask"],
    }
    keys = rule(WaitFor={"Otherwise": {"Derive": {"Pipeline": "q"}}}, **inputs)
    world = start({key: value for key, value in keys.items() if value is not None}, p=["ct", "pet", "mask"], q=["ct"])
    world.came("c", "CT")
    world.came("s", "SEG")
    world.let_time_pass()
    world.look_at_time()
    (job,) = world.jobs()
    assert (job.series, job.request["Pipeline"]) == ("c", "q") and "Inputs" not in job.request


def test_an_optional_parent_that_is_missing_costs_no_other_rule(start: Start) -> None:
    """It would be the parent of the pipeline: without it nothing can be asked for."""
    inputs = {"mask": {"Modality": "SEG"}, "ct": {"Modality": "CT"}}
    odd = {"Name": "odd", "Inputs": inputs, "Optional": ["mask"], "Derive": {"Pipeline": "m"}}
    world = start(odd, {"Name": "even", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}}, m=["mask", "ct"])
    world.came("c", "CT")
    assert [job.request["Pipeline"] for job in world.jobs()] == ["p"]
    assert world.texts("odd") == ["it does not fire: the input that the pipeline takes as its parent is not there"]


def test_an_error_with_one_study_keeps_no_other_waiting(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    world = start(rule(WaitFor={"Otherwise": "Run"}))
    for study in ("odd", "good"):
        world.came(f"c-{study}", "CT", study=study)
    world.let_time_pass()
    of_study = StudyReader.of_study

    def refuses(reader: StudyReader, study: str) -> list[SeriesFacts]:
        return of_study(reader, {"good": "good"}[study])

    monkeypatch.setattr(StudyReader, "of_study", refuses)
    world.look_at_time()
    assert [job.series for job in world.jobs()] == ["c-good"]


def test_a_wait_takes_no_longer_than_its_time_after_the_clock_was_set_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = start(rule(WaitFor={"Otherwise": "Run"}))
    world.came("c", "CT")
    now = time.time() - 30 * 86400
    monkeypatch.setattr(time, "time", lambda: now)
    assert world.look_at_time() == 3600
    (shown,) = world.watch.to_json(world.rules[0])
    assert shown["Since"] == datetime.fromtimestamp(now, UTC).isoformat()
    now += 3500
    assert world.look_at_time() == 100
    now += 100
    assert world.look_at_time() is None
    assert world.wait_of("r").state is WaitState.LATE and len(world.jobs()) == 1


def test_two_orthancs_that_lead_one_after_the_other_fail_a_wait_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = start(rule())
    world.came("c", "CT")
    world.let_time_pass()
    fail = Firer.fail

    def late(firer: Firer, *arguments: Any) -> bool:
        """Write the failed job when the other Orthanc has done so."""
        monkeypatch.setattr(Firer, "fail", fail)
        world.look_at_time()
        return fail(firer, *arguments)

    monkeypatch.setattr(Firer, "fail", late)
    world.look_at_time()
    (failed,) = world.jobs()
    assert failed.state is State.FAILURE and world.wait_of("r").state is WaitState.LATE
    assert len(world.texts("r")) == 1 and world.outbox.tallies()["watch"].waiting == 1
