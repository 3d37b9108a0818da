"""Rules that wait for a study: what is missing, and what fires when nothing is."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import Busy, Conflict, InvalidRequest
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.rules.evaluate import (
    Case,
    SeriesFacts,
    concerns,
    evaluate_all,
    evaluate_study,
    instead,
    is_coming,
    missing,
)
from derived_series.jobs.rules.model import Rule
from derived_series.jobs.rules.remarks import Remarks
from derived_series.jobs.rules.study_waits import StudyWait, StudyWaits, WaitState
from derived_series.orthanc.config import Settings
from store_places import StorePlace
from test_jobs_store import job

EXPECTED = {"ct": {"Modality": "CT", "Count": 2}, "pet": {"Modality": "PT"}}


def rule(**keys: Any) -> Rule:
    document = {
        "Name": "r",
        "Match": {"Modality": "CT"},
        "WaitFor": {"Series": EXPECTED, "Seconds": 60},
        "Derive": {"Pipeline": "p"},
        **keys,
    }
    return Rule.model_validate({key: value for key, value in document.items() if value is not None})


def series(name: str, modality: str = "CT", **more: Any) -> SeriesFacts:
    return SeriesFacts(name, "study", (f"{name}-1",), True, {"Modality": modality}, lineage=name, **more)


def test_what_is_missing_is_counted() -> None:
    assert missing(rule(), []) == {"ct": (0, 2), "pet": (0, 1)}
    assert missing(rule(), [series("a"), series("p", "PT")]) == {"ct": (1, 2)}
    assert missing(rule(), [series("a"), series("b"), series("c"), series("p", "PT")]) == {}
    coming = [series("a"), dataclasses.replace(series("b"), stable=False), series("p", "PT")]
    assert missing(rule(), coming) == {"ct": (1, 2)} and is_coming(rule(), coming)
    assert not is_coming(rule(), [dataclasses.replace(series("m", "MR"), stable=False)])
    derived = [series("a"), series("b", depth=1, chain=frozenset({"r"})), series("p", "PT")]
    assert missing(rule(), derived) == {"ct": (1, 2)}, "what the rule itself has made does not count"


def test_what_a_study_is_waited_for_by() -> None:
    assert concerns(rule(), series("a")) and concerns(rule(), series("p", "PT"))
    assert not concerns(rule(), series("m", "MR"))
    assert not concerns(rule(), series("p", "PT", is_retrieved=True))


def test_all_series_of_a_complete_study_fire_once_each() -> None:
    study = [series("a"), series("b"), series("p", "PT")]
    evaluation = evaluate_study(rule(), study, lambda each: ())
    assert [firing.inputs[""] for firing in evaluation.firings] == ["a", "b"]
    others = instead(evaluation).firings
    assert [each.subject for each in others] == [each.subject for each in evaluation.firings]
    assert {each.digest for each in others}.isdisjoint(each.digest for each in evaluation.firings)
    alone = evaluate_study(rule(), [series("p", "PT")], lambda each: ())
    assert alone.reason == "no stable series of the study is an input of it"


def test_a_simulation_says_what_is_missing() -> None:
    cases = [Case(series("a"), study) for study in ([series("a")], [series("a"), series("b"), series("p", "PT")])]
    (one,), (whole,) = evaluate_all([rule()], cases)
    assert one.reason == "the study is not complete: ct (1 of 2), pet (0 of 1)"
    assert whole.reason is None and len(whole.firings) == 1


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ({"Series": {}, "Seconds": 60}, "Rules.0.WaitFor.Series"),
        ({"Series": {"ct": {"Count": 2}}, "Seconds": 60}, "Rules.0.WaitFor.Series.ct: is empty"),
        ({"Series": {"ct": {"Modality": "CT", "Count": 0}}, "Seconds": 60}, "Rules.0.WaitFor.Series.ct.Count"),
        ({"Series": EXPECTED}, "Rules.0.WaitFor.Seconds"),
        ({"Series": EXPECTED, "Seconds": 0}, "Rules.0.WaitFor.Seconds"),
        (
            {"Series": EXPECTED, "Seconds": 60, "Otherwise": "Maybe"},
            "Rules.0.WaitFor.Otherwise: 'Run', 'Nothing' or 'Fail' is expected",
        ),
        (
            {"Series": EXPECTED, "Seconds": 60, "Otherwise": {"Derive": {"Pipeline": "q", "DryRun": True}}},
            "Rules.0.WaitFor.Otherwise.Derive: leave out DryRun",
        ),
    ],
)
def test_a_wrong_wait_is_named(wait: dict[str, Any], words: str) -> None:
    document = {"Name": "r", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}, "WaitFor": wait}
    with pytest.raises(InvalidRequest) as caught:
        Settings.of({"Rules": [document]})
    assert words.lower() in caught.value.message.lower()


def test_a_wait_is_told_as_it_was_written() -> None:
    wait = {"Series": EXPECTED, "Seconds": 60.0, "Otherwise": {"Derive": {"Pipeline": "q"}}}
    assert rule(WaitFor=wait).to_json()["WaitFor"] == wait


def test_waits_and_remarks_survive_a_restart(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    wait = StudyWait("r", "study", 1.5, WaitState.WAITING, {"pet": (0, 1)}, 2.5)
    StudyWaits(store).put(wait)
    late = dataclasses.replace(wait, study="other", state=WaitState.LATE)
    StudyWaits(store).put(late)
    remarks = Remarks(store)
    assert remarks.put("r", "/studies/study", "first") and not remarks.put("r", "/studies/study", "first")
    for number in range(60):
        remarks.put("r", "/series/s", str(number))
    store.close()
    again = JobStore(tmp_path)
    waits = StudyWaits(again)
    assert waits.of("r", "study") == wait and waits.in_state(WaitState.LATE) == [late]
    assert [each.text for each in Remarks(again).of_rule("r", 2)] == ["59", "58"]
    assert len(Remarks(again).of_rule("r", 1000)) == 50
    waits.keep_only({"s"})
    assert waits.all() == []
    again.close()


@pytest.mark.parametrize("are_old", [False, True], ids=["numbered", "of an older version"])
def test_remarks_are_in_the_order_in_which_they_were_written_when_the_clock_is_set_back(
    store_place: StorePlace, monkeypatch: pytest.MonkeyPatch, are_old: bool
) -> None:
    store = store_place.open()
    remarks = Remarks(store)
    for number in range(50):
        remarks.put("r", f"/series/{number}", "before")
    if are_old:
        with store.transaction() as db:
            db.execute("INSERT INTO rule_remarks SELECT rule, time, path, text FROM numbered_remarks")
            db.execute("DELETE FROM numbered_remarks")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86400)
    remarks = Remarks(store)
    assert remarks.put("r", "/series/new", "after") and not remarks.put("r", "/series/new", "after")
    assert remarks.put("r", "/series/49", "later")
    texts = [(each.path, each.text) for each in remarks.of_rule("r", 99)]
    assert texts[:3] == [("/series/49", "later"), ("/series/new", "after"), ("/series/49", "before")]
    assert len(texts) == 50 and texts[-1] == ("/series/2", "before")
    store.close()


def test_only_the_orthanc_that_leads_writes_waits_and_the_jobs_of_rules(jobs_address: str, tmp_path: Path) -> None:
    place = StorePlace(tmp_path / "jobs", jobs_address)
    with closing(place.open("first")) as leading, closing(place.open("second")) as other:
        wait = StudyWait("r", "study", 1.5, WaitState.WAITING, {"pet": (0, 1)}, 2.5)
        waits, late = StudyWaits(leading), StudyWaits(other)
        with pytest.raises(Busy):
            late.put(wait)
        waits.put(wait)
        with pytest.raises(Busy):
            late.forget([wait])
        over = dataclasses.replace(wait, state=WaitState.LATE)
        with pytest.raises(Busy):
            other.add(job("late"), None, most=9, along=late.end(over), leading=True)
        assert late.all() == [wait] and leading.page() == []
        leading.add(job("first"), None, most=9, along=waits.end(over), leading=True)
        with pytest.raises(Conflict, match="does not wait for the study"):
            leading.add(job("second"), None, most=9, along=waits.end(over), leading=True)
        assert [each.id for each in other.page()] == ["first"] and late.all() == [over]
        other.add(job("requested"), None, most=9)  # a user may ask any of them
