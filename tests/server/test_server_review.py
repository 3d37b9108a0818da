"""Verdicts on a real Orthanc: accepted or rejected, by whom and why; the note of a rejection; held destinations."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import StartOrthanc
from dciodvfy import errors
from orthanc_server import OrthancServer, free_port
from phantoms import ct_phantom
from server_fixtures import finished, settings
from waiting import soon

SMOOTH = {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 1.5}}
REJECT = {"Verdict": "Reject", "User": "Müller^Eva", "Code": "111219", "Reason": "ears on the wrong side\nof the head"}
KO = "1.2.840.10008.5.1.4.1.1.88.59"


@pytest.fixture(scope="module")
def away(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """Where accepted series go."""
    with OrthancServer(tmp_path_factory.mktemp("away"), {"HttpPort": free_port()}) as server:
        yield server


@pytest.fixture(scope="module")
def server(away: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("orthanc")
    changes = settings(folder / "library", RetryPause=0.1, Workers=1)
    changes["DicomWeb"] = {"Servers": {"away": [f"{away.url}/dicom-web/"]}}
    with OrthancServer(folder, changes) as server:
        yield server


@pytest.fixture
def parent(server: OrthancServer, away: OrthancServer) -> str:
    server.delete_all()
    away.delete_all()
    return server.upload(ct_phantom(slices=4))


def derive(server: OrthancServer, parent: str, **request: Any) -> Any:
    return server.json(f"/series/{parent}/derive", "POST", json={**SMOOTH, **request})


def review(server: OrthancServer, series: str, **request: Any) -> Any:
    return server.json(f"/series/{series}/review", "POST", json=request)


def refused(server: OrthancServer, series: str, status: int, **request: Any) -> str:
    answer = server.post(f"/series/{series}/review", json=request)
    assert answer.status_code == status, answer.text
    return f"{answer.json()['Message']} ({answer.json()['Remedy']})"


def notes(server: OrthancServer, study: str) -> list[Any]:
    """The Key Object Selection series of a study, by QIDO-RS."""
    answer = server.get("/dicom-web/series", params={"StudyInstanceUID": study, "Modality": "KO"})
    return list(answer.json()) if answer.ok and answer.content else []


def test_an_accepted_series_says_who_accepted_it(server: OrthancServer, parent: str) -> None:
    series = derive(server, parent)["ID"]
    before = server.json(f"/series/{series}/review")
    assert before["State"] == "Unreviewed" and before["Destinations"] == {}
    codes = {reason["Code"] for reason in before["Reasons"]}
    assert {"111219", "111218", "111207", "113037"} <= codes

    answer = review(server, series, Verdict="Accept", User="Müller^Eva", Reason="fine")
    assert (answer["State"], answer["User"], answer["Reason"]) == ("Accepted", "Müller^Eva", "fine")
    kept = server.json(f"/series/{series}/metadata/4301")
    assert (kept["State"], kept["User"], kept["Time"]) == ("Accepted", "Müller^Eva", answer["Time"])
    assert review(server, series, Verdict="Accept", User="Other")["User"] == "Müller^Eva", "the first verdict stands"
    if server.get(f"/series/{series}/labels").ok:
        assert server.json(f"/series/{series}/labels") == ["accepted"]


def test_a_rejection_is_told_by_a_key_object_selection_document(server: OrthancServer, parent: str) -> None:
    answer = derive(server, parent)
    series = answer["ID"]
    study = server.json(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
    review(server, series, Verdict="Accept", User="Hasty")

    rejected = review(server, series, **REJECT)
    assert rejected["State"] == "Rejected" and rejected["Code"] == "111219"
    assert rejected["User"] == "Müller^Eva" and rejected["Former"]["User"] == "Hasty"
    assert server.json(f"/series/{series}/metadata/4301")["State"] == "Rejected"
    (note_tags,) = notes(server, study)
    assert note_tags["0020000E"]["Value"] == [rejected["KeyObjects"]["SeriesInstanceUID"]]
    assert series in server.series_ids(), "the series itself stays"

    (note,) = server.download(rejected["KeyObjects"]["ID"])
    assert errors(note) == []
    instances = server.download(series)
    assert note.SOPClassUID == KO and note.StudyInstanceUID == study
    for name in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyDate", "AccessionNumber"):
        assert note[name].value == instances[0][name].value, name
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    (evidence,) = note.CurrentRequestedProcedureEvidenceSequence
    (referenced,) = evidence.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == answer["SeriesInstanceUID"]
    uids = [instance.SOPInstanceUID for instance in instances]
    assert [item.ReferencedSOPInstanceUID for item in referenced.ReferencedSOPSequence] == uids
    assert {item.ReferencedSOPClassUID for item in referenced.ReferencedSOPSequence} == {instances[0].SOPClassUID}
    content = note.ContentSequence
    images = [item.ReferencedSOPSequence[0] for item in content if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPInstanceUID for item in images] == uids
    (modifier,) = (item for item in content if item.RelationshipType == "HAS CONCEPT MOD")
    assert modifier.ConceptNameCodeSequence[0].CodeValue == "113011"
    assert modifier.ConceptCodeSequence[0].CodeValue == "111219"
    assert [str(item.PersonName) for item in content if item.ValueType == "PNAME"] == ["Müller^Eva"]
    assert [item.TextValue for item in content if item.ValueType == "TEXT"] == [REJECT["Reason"]]
    assert not any(element.keyword == "CodingSchemeVersion" for element in note.iterall())

    again = review(server, series, **{**REJECT, "User": "Other"})
    assert again == rejected, "the first rejection stands"
    assert len(notes(server, study)) == 1
    assert "derive it again" in refused(server, series, 409, Verdict="Accept", User="Other")
    if server.get(f"/series/{series}/labels").ok:
        assert server.json(f"/series/{series}/labels") == ["rejected"]


def test_a_rejection_for_patient_safety_has_a_title_of_its_own(server: OrthancServer, parent: str) -> None:
    series = derive(server, parent)["ID"]
    rejected = review(server, series, Verdict="Reject", User="a", Code="PatientSafety")
    (note,) = server.download(rejected["KeyObjects"]["ID"])
    assert note.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert all(item.RelationshipType != "HAS CONCEPT MOD" for item in note.ContentSequence)
    assert errors(note) == []


def test_one_document_is_written_however_often_it_is_asked_for_at_once(server: OrthancServer, parent: str) -> None:
    series = derive(server, parent)["ID"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: review(server, series, **REJECT), range(4)))
    assert [answer["State"] for answer in answers] == ["Rejected"] * 4
    study = server.json(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
    assert len(notes(server, study)) == 1
    assert len({answer["KeyObjects"]["SOPInstanceUID"] for answer in answers}) == 1


def test_a_rejected_series_is_not_reused(server: OrthancServer, parent: str) -> None:
    first = derive(server, parent, IfExists="Reuse")
    assert derive(server, parent, IfExists="Reuse")["ID"] == first["ID"]
    review(server, first["ID"], **REJECT)
    second = derive(server, parent, IfExists="Reuse")
    assert second["SeriesInstanceUID"] != first["SeriesInstanceUID"]
    old, new = server.download(first["ID"]), server.download(second["ID"])
    assert {d.SOPInstanceUID for d in old}.isdisjoint(d.SOPInstanceUID for d in new)
    assert server.json(f"/series/{second['ID']}/review")["State"] == "Unreviewed"


def test_a_rejected_series_that_comes_back_is_known_by_the_note_in_its_study(
    server: OrthancServer, parent: str
) -> None:
    """It was deleted, and is received again from somewhere: with it, what Orthanc kept of it has gone."""
    first = derive(server, parent, IfExists="Reuse")
    rejected = review(server, first["ID"], **REJECT)
    files = [server.get(f"/instances/{each}/file").content for each in server.json(first["Path"])["Instances"]]
    server.json(first["Path"], "DELETE")
    assert server.upload(files) == first["ID"]
    state = server.json(f"/series/{first['ID']}/review")
    for key in ("State", "User", "Code", "Meaning", "Title", "KeyObjects"):
        assert state[key] == rejected[key]
    assert state["Job"] == first["JobID"]
    assert "was rejected" in refused(server, first["ID"], 409, Verdict="Accept", User="b")
    second = derive(server, parent, IfExists="Reuse")
    assert second["SeriesInstanceUID"] != first["SeriesInstanceUID"]
    assert server.json(f"/series/{second['ID']}/review")["State"] == "Unreviewed"


def test_the_notes_of_a_study_count_where_nothing_else_is_known(
    start_orthanc: StartOrthanc, server: OrthancServer, parent: str
) -> None:
    """Another Orthanc, which has received the study with the note."""
    series = derive(server, parent)["ID"]
    rejected = review(server, series, **REJECT)
    other = start_orthanc(settings(server.folder / "other library"))
    ids = [*server.json(f"/series/{series}")["Instances"], *server.json(f"/series/{parent}")["Instances"]]
    for each in ids:
        other.json("/instances", "POST", data=server.get(f"/instances/{each}/file").content)
    assert other.get(f"/series/{series}/review").status_code == 409  # nothing says anything of it yet
    note = server.json(f"/series/{rejected['KeyObjects']['ID']}")["Instances"][0]
    other.json("/instances", "POST", data=server.get(f"/instances/{note}/file").content)
    state = other.json(f"/series/{series}/review")
    for key in ("State", "User", "Code", "Meaning", "Title", "KeyObjects"):
        assert state[key] == rejected[key]
    assert state["Time"][:19] == rejected["Time"][:19]
    assert "was rejected" in refused(other, series, 409, Verdict="Accept", User="b")
    assert other.get(f"/series/{parent}/review").status_code == 409


def test_wrong_verdicts_say_what_is_wrong(server: OrthancServer, parent: str) -> None:
    series = derive(server, parent)["ID"]
    message = refused(server, series, 400, Verdict="Maybe", Usr="x")
    assert "Verdict" in message and "Usr" in message
    assert "User" in refused(server, series, 400, Verdict="Accept")
    assert "111219 (InappropriateImageProcessing)" in refused(server, series, 400, Verdict="Reject", User="a")
    assert "'ugly'" in refused(server, series, 400, Verdict="Reject", User="a", Code="ugly")
    assert "User" in refused(server, series, 400, Verdict="Accept", User="a\\b")
    assert "not derived by this plugin" in refused(server, parent, 409, Verdict="Accept", User="a")
    assert server.get(f"/series/{parent}/review").status_code == 409
    assert server.get("/series/nothing/review").status_code == 404
    assert server.json(f"/series/{series}/review")["State"] == "Unreviewed"
    assert server.series_ids() == {parent, series}


def test_a_held_destination_is_sent_to_once_the_series_is_accepted(
    server: OrthancServer, away: OrthancServer, parent: str
) -> None:
    answer = derive(server, parent, Destinations=["away"], HoldUntilAccepted=True)
    assert answer["Destinations"] == {"away": "Held"}
    job = server.json(f"/derived-series/jobs/{answer['JobID']}")
    assert job["State"] == "Success" and job["Content"]["Result"]["Destinations"] == {"away": "Held"}
    assert server.json(f"/series/{answer['ID']}/review")["Destinations"] == {"away": "Held"}
    gone = derive(server, parent, Destinations=["away"], HoldUntilAccepted=True)
    server.json(f"/series/{gone['ID']}", "DELETE")
    server.restart()
    end = time.monotonic() + 30  # verdicts are settled after the start, beside the requests
    while finished(server, gone["JobID"])["Content"]["Result"]["Destinations"] == {"away": "Held"}:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert finished(server, gone["JobID"])["Content"]["Result"]["Destinations"] == {"away": "Deleted"}
    assert server.json(f"/derived-series/jobs/{answer['JobID']}")["Content"]["Result"]["Destinations"] == {
        "away": "Held"
    }
    assert away.series_ids() == set()

    review(server, answer["ID"], Verdict="Accept", User="a")
    sent(server, answer["JobID"])
    assert away.series_ids() == {answer["ID"]}
    assert len(away.download(answer["ID"])) == 4


def sent(server: OrthancServer, job_id: str) -> None:
    """Wait until a job's held destinations have the series."""
    end = time.monotonic() + 30
    while (job := finished(server, job_id))["Content"]["Result"]["Destinations"] != {"away": "Success"}:
        assert time.monotonic() < end, job
        time.sleep(0.05)
    assert job["State"] == "Success"


def test_a_held_destination_gets_nothing_of_a_rejected_series(
    server: OrthancServer, away: OrthancServer, parent: str
) -> None:
    answer = derive(server, parent, Destinations=["away"], HoldUntilAccepted=True)
    assert review(server, answer["ID"], **REJECT)["Destinations"] == {"away": "Rejected"}
    job = finished(server, answer["JobID"])
    assert job["State"] == "Success" and job["Content"]["Result"]["Destinations"] == {"away": "Rejected"}
    assert away.series_ids() == set()


def test_who_has_a_rejected_series_is_told(server: OrthancServer, away: OrthancServer, parent: str) -> None:
    answer = derive(server, parent, Destinations=["away"])
    assert answer["Destinations"] == {"away": "Success"} and away.series_ids() == {answer["ID"]}
    rejected = review(server, answer["ID"], **REJECT)
    (note,) = away.download(rejected["KeyObjects"]["ID"])
    assert note.SOPInstanceUID == rejected["KeyObjects"]["SOPInstanceUID"]
    assert rejected["Destinations"] == {"away": "Success"}
    job = server.json("/derived-series/jobs?expand")[-1]
    assert job["Type"] == "Rejection" and job["Content"]["ParentSeries"] == answer["ID"]
    assert job["State"] == "Success" and job["Content"]["Result"]["Destinations"] == {"away": "Success"}


@pytest.mark.sqlite
def test_a_series_that_was_accepted_just_before_a_crash_is_sent_on_after_it(
    server: OrthancServer, away: OrthancServer, parent: str
) -> None:
    """Between the verdict and the job that sends: as if Orthanc had been killed there."""
    answer = derive(server, parent, Destinations=["away"], HoldUntilAccepted=True)
    server.kill()
    path = server.jobs_folder / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        verdict = '{"State": "Accepted", "User": "a", "Time": ""}'
        database.execute("INSERT INTO verdicts VALUES (?, ?)", [answer["ID"], verdict])
    server.restart()
    sent(server, answer["JobID"])
    assert away.series_ids() == {answer["ID"]}


def test_a_verdict_that_is_written_past_the_plugin_counts_for_nothing(
    server: OrthancServer, away: OrthancServer, parent: str
) -> None:
    """Whoever may write to Orthanc can write its metadata: nothing is sent on for that, and the page says so."""
    answer = derive(server, parent, Destinations=["away"], HoldUntilAccepted=True)
    forged = '{"State": "Accepted", "User": "mallory", "Time": ""}'
    server.put(f"/series/{answer['ID']}/metadata/4301", data=forged)
    server.kill()
    server.restart()
    state = server.json(f"/series/{answer['ID']}/review")
    assert state["State"] == "Unreviewed" and "mallory" in state["Warnings"][0]
    soon(lambda: "written past the plugin" in server.log(), "the log, which is written after the start, says nothing")
    (listed,) = [each for each in server.json("/derived-series/recent") if each["ID"] == answer["ID"]]
    assert listed["State"] == "Unreviewed"
    job = server.json(f"/series/{parent}/jobs/{answer['JobID']}")
    assert job["Content"]["Result"]["Destinations"] == {"away": "Held"} and away.series_ids() == set()
    rejected = review(server, answer["ID"], **REJECT)
    assert rejected["State"] == "Rejected" and rejected["Warnings"] == []
    for written in (forged, "no JSON", "[]"):
        server.put(f"/series/{answer['ID']}/metadata/4301", data=written)
        state = server.json(f"/series/{answer['ID']}/review")
        assert state["State"] == "Rejected" and "here it is Rejected by" in state["Warnings"][0]
    server.delete(f"/series/{answer['ID']}/metadata/4301")
    assert "was removed" in server.json(f"/series/{answer['ID']}/review")["Warnings"][0]
    assert "rejected" in refused(server, answer["ID"], 409, Verdict="Accept", User="a")


@pytest.mark.sqlite
def test_verdicts_of_an_older_version_are_taken_over(server: OrthancServer, parent: str) -> None:
    """It kept them as metadata alone: those that are there when the record is begun were said to it."""
    series = derive(server, parent)["ID"]
    verdict = review(server, series, Verdict="Accept", User="Anna")
    server.stop()
    path = server.jobs_folder / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE verdicts")
    server.restart()
    end = time.monotonic() + 30  # they are taken over after the start, beside the requests
    while server.json(f"/series/{series}/review")["State"] == "Unreviewed" and time.monotonic() < end:
        time.sleep(0.05)
    assert server.json(f"/series/{series}/review") == verdict
    server.put(f"/series/{series}/metadata/4301", data='{"State": "Rejected", "User": "mallory", "Time": ""}')
    server.restart()
    assert server.json(f"/series/{series}/review")["State"] == "Accepted"


def test_a_rejection_that_a_crash_cut_short_is_finished_after_it(server: OrthancServer, parent: str) -> None:
    series = derive(server, parent)["ID"]
    busy = server.json(  # the one worker has something else to do, so that the rejection waits
        f"/series/{parent}/derive",
        "POST",
        json={"Pipeline": "plain", "Parameters": {"Seconds": 30}, "Asynchronous": True},
    )["ID"]
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(server.post, f"/series/{series}/review", json=REJECT)
        end = time.monotonic() + 10
        while server.json(f"/series/{series}/review")["State"] != "Rejecting":
            assert time.monotonic() < end
            time.sleep(0.02)
        assert "cannot be changed" in refused(server, series, 409, Verdict="Accept", User="a")
        assert server.get(f"/series/{series}/metadata/4301").status_code == 404
        server.kill()
        with pytest.raises(OSError):
            asking.result()
    server.restart()
    server.json(f"/derived-series/jobs/{busy}/cancel", "POST")
    end = time.monotonic() + 30
    while (state := server.json(f"/series/{series}/review"))["State"] != "Rejected":
        assert time.monotonic() < end, state
        time.sleep(0.05)
    study = server.json(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
    assert len(notes(server, study)) == 1


def test_the_user_is_the_one_that_orthanc_lets_in(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    changes = settings(tmp_path / "library", HoldUntilAccepted=True, Workers=1)
    changes |= {"AuthenticationEnabled": True, "RegisteredUsers": {"WARD\\eva": "secret:word", "tom": "other"}}
    changes["DicomWeb"] = {"Servers": {"nowhere": [f"http://127.0.0.1:{free_port()}/dicom-web/"]}}
    server = start_orthanc(changes)
    parent = server.upload(ct_phantom(slices=2))
    answer = derive(server, parent, Destinations=["nowhere"])
    assert answer["Destinations"] == {"nowhere": "Held"}, "the configuration's default"
    series = answer["ID"]
    assert server.json(f"/series/{series}/review")["AuthenticatedUser"] == "WARD\\eva"
    assert "'tom'" in refused(server, series, 400, Verdict="Reject", Code="111218", User="tom")
    rejected = review(server, series, Verdict="Reject", Code="111218")
    assert rejected["User"] == "WARD\\eva"
    (note,) = server.download(rejected["KeyObjects"]["ID"])
    assert [str(item.PersonName) for item in note.ContentSequence if item.ValueType == "PNAME"] == ["WARD/eva"]


def test_a_verdict_on_what_the_sender_has_not_seen_is_refused(server: OrthancServer, parent: str) -> None:
    series = derive(server, parent)["ID"]
    assert review(server, series, Verdict="Accept", User="Otto", Known="Unreviewed")["State"] == "Accepted"
    time_ = server.json(f"/series/{series}/review")["Time"]
    for verdict in ({"Verdict": "Accept"}, {"Verdict": "Reject", "Code": "111218"}):
        message = refused(server, series, 409, User="Eva", Known="Unreviewed", **verdict)
        assert f"accepted by Otto on {time_}" in message
    assert review(server, series, Known="Accepted", **REJECT)["State"] == "Rejected"
    who = server.json(f"/series/{series}/review")
    message = refused(server, series, 409, Verdict="Accept", User="Eva")
    assert f"rejected by {who['User']} on {who['Time']}" in message and "cannot be changed" in message
