"""Series that rules look at while Orthanc, its storage or other programs are in their way: each is looked at again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derived_series.errors import DerivedSeriesError, NotFound, StorageError
from derived_series.jobs.metadata import PROVENANCE, RETRIEVED
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.rules.evaluate import SeriesFacts
from derived_series.jobs.rules.log import Seen
from derived_series.orthanc import triggers
from derived_series.orthanc.derive_tasks import replaced_jobs
from derived_series.orthanc.studies import StudyReader
from derived_series.software import SOFTWARE
from rule_world import Pipelines, RuleGateway, World

CT = {"Name": "ct", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}}
AFTER_PRIOR = {**CT, "Name": "after", "Priors": {"before": {"Modality": "CT"}}, "Optional": ["before"]}
BOTH = {**CT, "Name": "both", "Inputs": {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}}}
BOTH.pop("Match")

Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    worlds: list[World] = []

    def begin(*rules: dict[str, Any]) -> World:
        pipelines = Pipelines(p=["ct", "pet", "before"])
        worlds.append(World(tmp_path, rules, pipelines, RuleGateway(tmp_path, {})))
        return worlds[0]

    yield begin
    worlds[0].close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The rules' clock, which stands still."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(triggers, "time", clock)
    return clock


def refusing(world: World, monkeypatch: pytest.MonkeyPatch, *errors: tuple[str, Exception]) -> dict[str, Exception]:
    """The paths that Orthanc answers with errors; a test may take them out."""
    refused = dict(errors)
    answer = world.gateway.get

    def get(path: str) -> Any:
        if path in refused:
            raise refused[path]
        return answer(path)

    monkeypatch.setattr(world.gateway, "get", get)
    return refused


def wait_for_rules(world: World, *series: str) -> None:
    """Let series wait for the rules, as Orthanc's changes do."""
    world.trigger._log.see(Seen(1, 1), series)


def test_a_series_outlasts_a_storage_that_is_away_for_minutes(
    start: Start, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    world = start(CT)
    world.add("c", "CT")
    tags = "/instances/i-c/tags?short"
    refused = refusing(world, monkeypatch, (tags, DerivedSeriesError(f"GET {tags} failed in Orthanc")))
    wait_for_rules(world, "c")
    for _ in range(10):
        assert not world.trigger._look_at_all()
        clock.now += 60.0
    assert world.outbox.first("watch") is None and world.jobs() == []
    refused.clear()
    clock.now += 300.0
    assert world.trigger._look_at_all()
    assert [job.series for job in world.jobs()] == ["c"] and world.trigger._log.waiting() == []


@pytest.mark.parametrize("error", [StorageError("no answer for Doe^Jane"), KeyError("Doe^Jane")])
def test_rules_that_cannot_be_applied_to_a_series_are_told_once_and_keep_no_other_waiting(
    start: Start, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace, error: Exception
) -> None:
    world = start(CT)
    world.add("c", "CT")
    world.add("d", "CT")
    looks = []
    facts = StudyReader.facts

    def refuses(reader: StudyReader, series: str) -> SeriesFacts:
        if series == "c":
            looks.append(clock.now)
            raise error
        return facts(reader, series)

    monkeypatch.setattr(StudyReader, "facts", refuses)
    wait_for_rules(world, "c", "d")
    assert not world.trigger._look_at_all()
    assert [job.series for job in world.jobs()] == ["d"] and world.trigger._log.waiting() == ["c"]
    while not world.trigger._look_at_all():
        clock.now += 5.0
    pauses = [after - before for before, after in itertools.pairwise(looks)]
    assert sorted(pauses) == pauses and sum(pauses) > 600, "rarely, but for a while"
    notice = world.outbox.first("watch")
    assert notice is not None and world.outbox.tallies()["watch"].waiting == 1
    assert (notice.fields["Event"], notice.fields["Parent"]) == ("RuleFailure", "c")
    assert notice.fields["Error"] == ("StorageError" if isinstance(error, StorageError) else "DerivedSeriesError")
    assert "Doe^Jane" not in str(notice.fields)


def test_only_a_series_that_is_gone_itself_is_dropped(start: Start) -> None:
    world = start(CT)
    assert world.trigger.apply("removed")
    world.add("c", "CT")
    world.gateway.resources["/series/c"]["Instances"] = ["a-removed", "i-c"]  # between two GETs
    assert not world.trigger.apply("c")
    world.gateway.resources["/series/c"]["Instances"] = ["i-c"]
    assert world.trigger.apply("c") and [job.series for job in world.jobs()] == ["c"]


@pytest.mark.parametrize(
    ("job", "is_waited_for"),
    [
        ({"state": State.RUNNING, "attempt": 1}, True),
        ({"state": State.PENDING, "attempt": 1}, True),
        ({"state": State.PENDING, "has_leftovers": True}, True),
        ({"state": State.PENDING}, False),
    ],
    ids=["running", "interrupted", "resubmitted", "not begun"],
)
def test_a_derived_series_waits_for_its_provenance_while_a_job_has_begun(
    start: Start, job: dict[str, Any], is_waited_for: bool
) -> None:
    """Another attempt writes the provenance, and sends no instance that would make the series stable again."""
    world = start(CT, {"Name": "next", "Match": {"Derived": "ct"}, "Derive": {"Pipeline": "p"}})
    world.add("parent", "MR")
    world.add("made", "SEG")
    world.gateway.resources["/instances/i-made/tags?short"]["0018,a001"] = [{"0008,0070": SOFTWARE}]
    record = JobRecord("j", "parent", {"Pipeline": "ct"}, None, "j", "j", 1.0, **job)
    world.store.add(record, None, most=100)
    assert world.trigger.apply("made") is not is_waited_for
    world.add("made", "SEG", provenance={"Job": "j", "Pipeline": "ct"})
    assert world.trigger.apply("made")
    assert [each.series for each in world.jobs()] == ["parent", "made"]


def test_another_study_that_is_removed_meanwhile_is_not_a_prior(start: Start) -> None:
    world = start(AFTER_PRIOR)
    world.add("c", "CT")
    world.gateway.resources["/patients/patient"] = {"ID": "patient", "Studies": ["study", "removed"]}
    assert world.trigger.apply("c")
    assert [job.series for job in world.jobs()] == ["c"]


def test_a_series_that_loses_an_instance_still_counts_for_its_study(start: Start) -> None:
    world = start(BOTH)
    world.add("p", "PT")
    world.add("c", "CT")
    world.gateway.resources["/series/p"]["Instances"] = ["a-removed", "i-p"]
    assert not world.trigger.apply("c"), "p is not taken for removed"
    world.gateway.resources["/series/p"]["Instances"] = ["i-p"]
    assert world.trigger.apply("c") and len(world.jobs()) == 1


def test_a_rule_that_meets_an_error_keeps_no_other_rule_from_the_series(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = start(BOTH, CT)
    world.add("c", "CT")
    refusing(world, monkeypatch, ("/studies/study", DerivedSeriesError("GET /studies/study failed in Orthanc")))
    for _ in range(2):
        assert not world.trigger.apply("c")
    assert [job.request["Pipeline"] for job in world.jobs()] == ["p"]


def test_orthanc_that_does_not_say_whether_a_series_is_there_is_asked_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = start(CT)
    world.add("c", "CT")
    refused = refusing(
        world,
        monkeypatch,
        ("/instances/i-c/tags?short", NotFound("Orthanc has no /instances/i-c/tags?short")),
    )
    monkeypatch.setattr(world.gateway, "has_series", lambda series: fail())
    assert not world.trigger.apply("c")
    refused.clear()
    assert world.trigger.apply("c") and len(world.jobs()) == 1


def fail() -> bool:
    raise DerivedSeriesError("GET /series/c failed in Orthanc")


@pytest.mark.parametrize("number", [PROVENANCE, RETRIEVED])
@pytest.mark.parametrize(
    "document",
    [
        ValueError("Expecting value: line 1 column 1"),
        RecursionError("maximum recursion depth exceeded"),
        *(None, 31, "seen", [], [{"Job": "j"}], {}, {"Job": None}),
    ],
    ids=str,
)
def test_metadata_that_another_program_wrote_says_nothing_to_rules(
    start: Start, monkeypatch: pytest.MonkeyPatch, number: int, document: Any
) -> None:
    world = start(CT)
    path = f"/series/odd/metadata/{number}"
    world.add("odd", "CT")
    world.gateway.resources[path] = document
    if isinstance(document, Exception):
        refusing(world, monkeypatch, (path, document))
    world.add("c", "CT")
    wait_for_rules(world, "odd", "c")
    assert world.trigger._look_at_all()
    assert [job.series for job in world.jobs()] == ["odd", "c"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"Parents": None},
        {"Parents": {"ID": "c"}},
        {"Parents": ["c"]},
        {"Parents": [{}]},
        {"Parents": [{"ID": 3}]},
        {"Rule": "r"},
        {"Rule": {"Depth": None}},
        {"Rule": {"Depth": "1"}},
        {"Rule": {"Chain": None}},
        {"Rule": {"Chain": [3]}},
        {"Rule": {"Subject": []}},
        {"Series": [{"ID": "c"}]},
        {"Request": []},
        {"Request": {"Inputs": 3}},
        {"Code": "x.py"},
        {"Code": {"Helpers": 3}},
        {"Created": 2026},
    ],
    ids=str,
)
def test_a_provenance_of_another_shape_is_none(start: Start, wrong: dict[str, Any]) -> None:
    world = start(CT)
    world.add("odd", "CT", provenance={"Job": "j", **wrong})
    assert world.gateway.provenance("odd") is None
    world.add("made", "CT", provenance={"Job": "j", "Another": "key"})
    assert world.gateway.provenance("made") == {"Job": "j", "Another": "key"}


ITSELF = {"ID": "odd"}


def test_a_series_among_its_own_parents_ends_the_way_up(start: Start) -> None:
    world = start({**CT, "MaxDepth": 100})
    world.add("odd", "CT", provenance={"Job": "j", "Parents": [ITSELF, ITSELF, {"ID": "other"}]})
    world.add("other", "CT", provenance={"Job": "k", "Parents": [ITSELF, ITSELF], "Rule": {"Chain": ["former"]}})
    assert world.trigger.apply("odd")
    (job,) = world.jobs()
    fired = world.trigger._log.of_job(job.id)
    assert fired is not None and fired.firing.chain == ("former", "ct")


def test_each_ancestor_is_looked_at_once_however_many_ways_lead_to_it(start: Start) -> None:
    """Each way by itself would be two to the power of the steps."""
    world = start({**CT, "MaxDepth": 100})
    world.add("c-0", "CT")
    for step in range(1, 41):
        parents = [{"ID": f"c-{step - 1}", "Input": name} for name in ("parent", "mask")]
        world.add(f"c-{step}", "CT", provenance={"Job": "j", "Parents": parents})
    assert world.trigger.apply("c-40")
    (job,) = world.jobs()
    fired = world.trigger._log.of_job(job.id)
    assert fired is not None and fired.firing.depth == 41


def stored(world: World, job: JobRecord, series: str) -> JobRecord:
    """Let a job succeed."""
    result = {"ID": series, "Path": f"/series/{series}", "Series": [{"Output": "result", "ID": series}]}
    assert world.store.update(dataclasses.replace(job, state=State.SUCCESS, result=result))
    return world.store.get(job.id)


def replaced(world: World, job: JobRecord) -> tuple[list[str], list[str]]:
    """The jobs whose series a rule's job replaces: by their records, and by their firings."""
    log = world.trigger._log
    fired = log.of_job(job.id)
    assert fired is not None
    return [each.id for each in replaced_jobs(job, fired, world.store, log)], log.replaced_by(fired)


def test_of_two_optional_series_each_has_its_result(start: Start) -> None:
    world = start({**BOTH, "Optional": ["pet"]})
    world.came("c", "CT")
    for series in ("p", "q"):
        world.came(series, "PT")
    without, one, other = (stored(world, job, f"of-{job.id}") for job in world.jobs())
    assert [each.request.get("Inputs") for each in (without, one, other)] == [None, {"pet": "p"}, {"pet": "q"}]
    assert replaced(world, one) == ([without.id], [without.id]) == replaced(world, other)


def test_an_older_firing_replaces_no_newer_result(start: Start) -> None:
    """Its job pauses after an error, and runs when the later one is over."""
    world = start({**BOTH, "Optional": ["pet"]})
    world.came("c", "CT")
    world.came("p", "PT")
    first, second = (stored(world, job, f"of-{job.id}") for job in world.jobs())
    assert replaced(world, first) == ([], []) and replaced(world, second) == ([first.id], [first.id])


def test_the_outputs_of_one_job_do_not_replace_each_other_in_a_chain(start: Start) -> None:
    """A rule that names no Output takes each, and what it makes of them is not the same."""
    world = start({"Name": "next", "Match": {"Derived": "ct"}, "Derive": {"Pipeline": "p"}})
    outputs = [{"Output": name, "ID": name} for name in ("mask", "map")]
    of_job = {"Job": "j", "Pipeline": "ct", "Rule": {"Name": "ct", "Subject": "s", "Chain": ["ct"], "Depth": 1}}
    for output in outputs:
        world.add(output["ID"], "SEG", provenance={**of_job, "Output": output["Output"], "Series": outputs})
        assert world.trigger.apply(output["ID"])
    one, other = (stored(world, job, f"of-{job.id}") for job in world.jobs())
    assert (one.series, other.series) == ("mask", "map") and replaced(world, other) == ([], [])


def test_the_options_of_a_result_go_on_in_a_chain(start: Start) -> None:
    world = start({"Name": "next", "Match": {"Derived": "ct"}, "Derive": {"Pipeline": "p"}})
    for name, options in {"plain": [], "one": ["1"], "other": ["2"]}.items():
        by_rule = {"Name": "ct", "Subject": "s", "Chain": ["ct"], "Depth": 1, "Options": options}
        world.add(name, "SEG", provenance={"Job": "j", "Pipeline": "ct", "Rule": by_rule})
        assert world.trigger.apply(name)
    plain, one, other = (stored(world, job, f"of-{job.id}") for job in world.jobs())
    assert replaced(world, one)[1] == [plain.id] == replaced(world, other)[1]


def test_jobs_of_rules_are_accepted_as_the_orthanc_that_leads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has led may have looked at a series before more instances came."""
    world = start(CT)
    add = world.store.add
    accepted = []

    def recorded(job: JobRecord, image: bytes | None, **keys: Any) -> None:
        accepted.append(keys["leading"])
        add(job, image, **keys)

    monkeypatch.setattr(world.store, "add", recorded)
    world.came("c", "CT")
    assert accepted == [True]
