"""Rules without a server: what a configuration may say, what matches and why not, who fires for what, once."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import time
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import Busy, Conflict, DerivedSeriesError, InvalidRequest
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.rules.evaluate import Firing, SeriesFacts, evaluate
from derived_series.jobs.rules.log import Fired, FiringLog, Seen
from derived_series.jobs.rules.matching import refusal
from derived_series.jobs.rules.model import Rule
from derived_series.jobs.rules.series_conditions import Match
from derived_series.orthanc.config import Settings
from store_places import StorePlace

CT = {
    "Modality": "CT",
    "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
    "SliceThickness": "2.50",
    "StudyDate": "20260312",
    "SeriesDescription": "Thorax lung 2.5",
    "Empty": "",
    "RemoteAET": "CT1",
    "InstancesCount": "40",
}


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("(?i)thorax", "CT THORAX lung", True),
        ("^thorax", "CT thorax", False),
        ("lung$", "CT lung", True),
        ("lung$", "lung 2", False),
        (r"\bTÊTE\b", "la TÊTE", True),
        (r"(?i)tête", "TÊTE", True),
        (r"^\d{2}\s\w+$", "12 été", True),
        ("^(x+)+y$", "x" * 40, False),  # Python's own engine takes years for it, and stops all of Orthanc meanwhile
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60, False),
    ],
)
def test_regular_expressions_match_in_linear_time(pattern: str, text: str, matches: bool) -> None:
    match = Match.model_validate({"SeriesDescription": {"Regex": pattern}})
    assert (refusal(match, {"SeriesDescription": text}) is None) is matches
    assert (refusal(pickle.loads(pickle.dumps(match)), {"SeriesDescription": text}) is None) is matches


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"Regex": "(?=a)b"}, "look-around, including look-ahead and look-behind, is not supported"),
        ({"Regex": r"(a)\1"}, "backreferences are not supported"),
        ({"Regex": "a" * 501}, "has 501 characters; a regular expression may have 500"),
        ({"Regex": "(x{1000}){1000}"}, "size limit"),
        ({"Min": 5, "Max": 1}, "no value is at least 5 and at most 1"),
        ({"Min": "b", "Max": "a"}, "no value is at least b and at most a"),
        ({"Exists": False, "Min": 1}, "give Exists alone"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused(condition: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings.of({"Rules": [{"Name": "r", "Match": {"Rows": condition}, "Derive": {"Pipeline": "p"}}]})
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ({"Modality": "CT"}, None),
        ({"Modality": "PT"}, 'Modality is "CT", wanted "PT"'),
        ({"Modality": ["PT", "CT"]}, None),
        ({"Modality": ["PT", "MR"]}, 'Modality is "CT", wanted "PT" or "MR"'),
        ({"Modality": "ct"}, 'Modality is "CT", wanted "ct"'),
        ({"Modality": "CT", "RemoteAET": "CT1", "InstancesCount": 40}, None),
        ({"Modality": "PT", "RemoteAET": "PT1"}, 'Modality is "CT", wanted "PT"; RemoteAET is "CT1", wanted "PT1"'),
        ({"ImageType": "AXIAL"}, None),
        ({"ImageType": "ORIGINAL\\PRIMARY\\AXIAL"}, None),
        ({"ImageType": "LOCALIZER"}, 'ImageType is "ORIGINAL\\PRIMARY\\AXIAL", wanted "LOCALIZER"'),
        ({"SliceThickness": 2.5}, None),
        ({"SliceThickness": "2.5"}, 'SliceThickness is "2.50", wanted "2.5"'),
        ({"SliceThickness": {"Min": 1, "Max": 2.5}}, None),
        ({"SliceThickness": {"Max": 2}}, 'SliceThickness is "2.50", wanted at most 2'),
        ({"SliceThickness": {"Min": 3, "Max": 5}}, 'SliceThickness is "2.50", wanted at least 3 and at most 5'),
        ({"SeriesDescription": {"Min": 3}}, 'SeriesDescription is "Thorax lung 2.5", wanted at least 3'),
        ({"StudyDate": {"Min": "20260101", "Max": "20261231"}}, None),
        ({"StudyDate": {"Max": "20251231"}}, 'StudyDate is "20260312", wanted at most "20251231"'),
        ({"SeriesDescription": {"Regex": "(?i)LUNG"}}, None),
        (
            {"SeriesDescription": {"Regex": "^lung"}},
            'SeriesDescription is "Thorax lung 2.5", wanted a match of "^lung"',
        ),
        ({"SeriesDescription": {"Regex": "lung", "In": ["a", "b"]}}, ...),
        ({"PatientName": "x"}, "PatientName is missing"),
        ({"Empty": {"Regex": ""}}, "Empty is missing"),
        ({"Empty": {"Exists": False}, "PatientName": {"Exists": False}, "Modality": {"Exists": True}}, None),
        ({"Modality": {"Exists": False}}, 'Modality is there: "CT"'),
        ({"PatientName": {"Exists": True}}, "PatientName is missing"),
        ({"Any": [{"Modality": "PT"}, {"SliceThickness": {"Max": 3}}]}, None),
        (
            {"Any": [{"Modality": "PT"}, {"RemoteAET": "PT1"}]},
            'none of Any: (Modality is "CT", wanted "PT") / (RemoteAET is "CT1", wanted "PT1")',
        ),
        ({"All": [{"Modality": "CT"}, {"RemoteAET": "PT1"}]}, 'RemoteAET is "CT1", wanted "PT1"'),
        ({"Not": {"Modality": "PT"}}, None),
        ({"Not": {"Modality": "CT", "RemoteAET": "CT1"}}, 'Not: Modality is "CT", RemoteAET is "CT1"'),
        ({"Not": {"Any": [{"Modality": "PT"}, {"Not": {"Modality": "CT"}}]}}, None),
    ],
)
def test_matching_and_why_not(match: dict[str, Any], why: Any) -> None:
    reason = refusal(Match.model_validate(match), CT)
    assert reason is not None if why is ... else reason == why


def test_parts_of_a_value_do_not_mix() -> None:
    """A range holds for one of several values, not for a minimum here and a maximum there."""
    between = Match.model_validate({"PixelSpacing": {"Min": 1, "Max": 2}})
    assert refusal(between, {"PixelSpacing": "0.5\\1.5"}) is None
    assert refusal(between, {"PixelSpacing": "0.5\\2.5"}) is not None


def rule(**keys: Any) -> Rule:
    document = {"Name": "r", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}, **keys}
    return Rule.model_validate({key: value for key, value in document.items() if value is not None})


def test_every_wrong_key_of_the_rules_is_named() -> None:
    wrong = {
        "Nam": "x",
        "Name": "",
        "Match": {"Modality": {"Equal": "CT"}, "Rows": {"Regex": "("}, "Not": {}, "StudyDate": {}, "Any": []},
        "Same": "FrameOfReferenceUID",
        "MaxDepth": -1,
        "Derive": {"Pipelin": "p", "Priority": "high"},
    }
    with pytest.raises(InvalidRequest) as caught:
        Settings.of({"Rules": [wrong]})
    for words in (
        *("unknown key 'Rules.0.Nam'", "Rules.0.Name:", "unknown key 'Rules.0.Match.Modality.Equal'"),
        *("Rules.0.Match.Rows.Regex: not a regular expression", "Rules.0.Match.Not: is empty"),
        *("Rules.0.Match.StudyDate: says nothing", "Rules.0.Match.Any", "Rules.0.Same", "Rules.0.MaxDepth"),
        *("unknown key 'Rules.0.Derive.Pipelin'", "Rules.0.Derive.Priority"),
    ):
        assert words in caught.value.message, words


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"Derive": {"Pipeline": "p", "Inputs": {}}}, "Derive: leave out Inputs: name them in the rule"),
        ({"Derive": {"Pipeline": "p", "IfExists": "New", "DryRun": True}}, "DryRun: POST /derived-series/rules/sim"),
        ({"Derive": {"Pipeline": "p", "IfExists": "New"}}, "IfMoreInstances"),
        ({"Match": None}, "give either Match, for one input, or Inputs, for several"),
        ({"Inputs": {"a": {"Modality": "CT"}, "b": {"Modality": "PT"}}}, "give either Match"),
        ({"Match": None, "Inputs": {"a": {"Modality": "CT"}}}, 'conditions of the one as "Match"'),
        ({"Same": ["FrameOfReferenceUID"]}, "needs at least two"),
        (
            {
                "Match": None,
                "Inputs": {"a": {"Modality": "CT"}, "b": {"Modality": "PT"}},
                "Derive": {"Blueprint": "ct", "Factory": "numpy"},
            },
            "several Inputs are for a Pipeline",
        ),
    ],
)
def test_rules_that_contradict_themselves(keys: dict[str, Any], words: str) -> None:
    document = {"Name": "r", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}, **keys}
    with pytest.raises(InvalidRequest) as caught:
        Settings.of({"Rules": [{key: value for key, value in document.items() if value is not None}]})
    assert words in caught.value.message


def test_names_are_there_once() -> None:
    document = rule().to_json()
    assert Settings.of({"Rules": [document]}).rules == [rule()]
    with pytest.raises(InvalidRequest, match="several rules are named 'r'"):
        Settings.of({"Rules": [document, document]})


def test_a_rule_is_told_as_it_was_written() -> None:
    written = {
        "Name": "r",
        "Match": {"Modality": "CT", "Rows": {"Min": 64}, "Not": {"ImageType": ["LOCALIZER", "MPR"]}},
        "Derive": {"Pipeline": "p", "Parameters": {"Sigma": 2}},
    }
    assert Rule.model_validate(written).to_json() == written
    assert Rule.model_validate(written).names() == {"Modality", "Rows", "ImageType"}


def series(name: str, modality: str = "CT", **more: Any) -> SeriesFacts:
    values = {"Modality": modality, "FrameOfReferenceUID": "1.2.3"}
    return SeriesFacts(name, "study", (f"{name}-1", f"{name}-2"), True, values, lineage=name, **more)


def firings(wanted: Rule, new: SeriesFacts, *others: SeriesFacts) -> tuple[Firing, ...]:
    return evaluate(wanted, new, lambda: [new, *others]).firings


def reason(wanted: Rule, new: SeriesFacts, *others: SeriesFacts) -> str | None:
    return evaluate(wanted, new, lambda: [new, *others]).reason


def test_a_derived_series_fires_what_wants_it_and_never_its_own_rule() -> None:
    (first,) = firings(rule(), series("a"))
    assert (first.chain, first.depth, first.inputs) == (("r",), 1, {"": "a"})
    derived = series("b", depth=1, chain=frozenset({"s"}))
    assert reason(rule(), derived) == "it is derived (1 step(s) deep), MaxDepth is 0"
    (second,) = firings(rule(MaxDepth=1), derived)
    assert (second.chain, second.depth) == (("s", "r"), 2)
    derived_by_it = series("c", depth=1, chain=frozenset({"r"}))
    assert reason(rule(MaxDepth=100), derived_by_it) == "it comes from this rule itself"
    assert reason(rule(), dataclasses.replace(series("d"), stable=False)) == "it is not stable yet"


def test_what_is_replaced_when_a_series_has_grown() -> None:
    old, grown = series("a"), dataclasses.replace(series("a"), instances=("a-1", "a-2", "a-3"))
    (before,), (after,) = firings(rule(), old), firings(rule(), grown)
    assert before.digest != after.digest and before.subject == after.subject
    (before,), (after,) = (firings(rule(IfMoreInstances="New"), each) for each in (old, grown))
    assert before.subject != after.subject
    # the next rule of a chain sees another series each time; what it stands for is the same
    results = [dataclasses.replace(series(name), depth=1, lineage="subject of the first") for name in "xy"]
    (before,), (after,) = (firings(rule(MaxDepth=1), each) for each in results)
    assert before.digest != after.digest and before.subject == after.subject


BOTH: dict[str, Any] = {
    "Match": None,
    "Inputs": {"ct": {"Modality": "CT"}, "pet": {"Modality": "PT"}},
    "Same": ["FrameOfReferenceUID"],
}


def test_two_inputs_fire_together_whichever_comes_last() -> None:
    ct, pet = series("a"), series("b", "PT")
    (one,), (other,) = firings(rule(**BOTH), ct, pet), firings(rule(**BOTH), pet, ct)
    assert one == other and one.inputs == {"ct": "a", "pet": "b"}
    assert reason(rule(**BOTH), ct) == "there is no stable series for pet in the study"
    assert reason(rule(**BOTH), ct, dataclasses.replace(pet, stable=False)) is not None
    assert reason(rule(**BOTH), series("m", "MR"), ct, pet) == (
        'for ct: Modality is "MR", wanted "CT"; for pet: Modality is "MR", wanted "PT"'
    )
    elsewhere = dataclasses.replace(pet, values={**pet.values, "FrameOfReferenceUID": "1.2.4"})
    assert reason(rule(**BOTH), ct, elsewhere) == "FrameOfReferenceUID is not the same in all inputs"
    nowhere = dataclasses.replace(pet, values={"Modality": "PT"})
    assert reason(rule(**BOTH), ct, nowhere) == "FrameOfReferenceUID is missing in an input"


def test_each_pair_fires_once_in_whatever_order_they_come() -> None:
    everything = [series("a"), series("b"), series("x", "PT"), series("y", "PT")]
    for order in itertools.permutations(everything):
        fired: dict[str, Any] = {}
        for count, new in enumerate(order):
            for firing in firings(rule(**BOTH), new, *order[:count]):
                assert firing.digest not in fired
                fired[firing.digest] = firing.inputs
        assert sorted(tuple(pair.values()) for pair in fired.values()) == [*itertools.product("ab", "xy")]


def test_one_series_is_not_two_inputs_and_too_many_pairs_are_refused() -> None:
    alike = rule(Match=None, Inputs={"a": {"Modality": "CT"}, "b": {"Modality": "CT"}})
    assert reason(alike, series("a")) == "the inputs must be different series"
    assert len(firings(alike, series("a"), series("b"))) == 2
    many = [series(f"p{number}", "PT") for number in range(20)]
    assert reason(rule(**BOTH), series("a"), *many) == "more than 16 combinations of series match: narrow its Inputs"


@pytest.fixture
def store(store_place: StorePlace) -> Any:
    jobs = store_place.open()
    yield jobs
    jobs.close()


def record(name: str) -> JobRecord:
    return JobRecord(name, "series", {}, None, "subject", name, time.time())


def test_a_job_and_its_firing_are_written_together_or_not_at_all(store: JobStore) -> None:
    log = FiringLog(store)
    first = Fired(firings(rule(), series("a"))[0], "1", 1.0)
    store.add(record("1"), None, most=2, along=log.note(first))
    assert log.find("r", first.firing.digest) == log.of_job("1") == dataclasses.replace(first, seq=1)
    with pytest.raises(Conflict):  # the same firing twice
        store.add(record("2"), None, most=2, along=log.note(dataclasses.replace(first, job="2")))
    assert store.find("2") is None
    second = Fired(firings(rule(), dataclasses.replace(series("a"), instances=("x",)))[0], "3", 2.0)
    with pytest.raises(Busy):  # the queue is full
        store.add(record("3"), None, most=1, along=log.note(second))
    assert log.of_job("3") is None
    store.add(record("3"), None, most=2, along=log.note(second))
    assert store.update(dataclasses.replace(record("1"), state=State.FAILURE))
    store.delete("1")  # forgotten by the history of jobs, not by the log
    one, other = log.of_job("1"), log.of_job("3")
    assert one is not None and other is not None and one.seq < other.seq
    assert log.replaced_by(other) == ["1"] and log.replaced_by(one) == []
    assert log.summary() == {"r": (2, other)}
    assert FiringLog(store).find("r", first.firing.digest) == one


def test_what_waits_is_written_with_what_was_seen(store: JobStore) -> None:
    log = FiringLog(store)
    assert log.seen() is None
    log.see(Seen(7, 3), ["a", "b", "a"])
    log.see(Seen(9, 7), ["c", "b"])
    assert FiringLog(store).waiting() == ["a", "b", "c"] and FiringLog(store).seen() == Seen(9, 7)
    log.done("a")
    with pytest.raises(DerivedSeriesError), store.transaction() as db:
        db.execute("INSERT INTO stable_series (series) VALUES ('d')")
        db.execute("INSERT INTO nowhere (series) VALUES ('d')")
    assert log.waiting() == ["b", "c"]
    log.forget_seen()
    assert log.seen() is None and log.waiting() == []


def test_firings_of_an_older_version_are_replaced_by_any_on_their_subject(tmp_path: Path) -> None:
    old = Fired(firings(rule(), series("a"))[0], "1", 2.0)
    store = JobStore(tmp_path)
    store.add(record("1"), None, most=2, along=FiringLog(store).note(old))
    with store.transaction() as db:
        for column in ("options", "seq"):
            db.execute(f"ALTER TABLE firings DROP COLUMN {column}")
    store.close()
    store = JobStore(tmp_path)
    assert FiringLog(store).of_job("1") == old
    later = Fired(dataclasses.replace(old.firing, digest="x"), "2", 1.0)  # the clock was set back
    store.add(record("2"), None, most=2, along=FiringLog(store).note(later))
    fired = FiringLog(store).of_job("2")
    store.close()
    assert fired is not None and fired.replaces(old) and not old.replaces(fired)
