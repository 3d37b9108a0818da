"""Rules on a real Orthanc: each fires once for what it is for, whatever comes again, dies or is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from conftest import StartOrthanc
from orthanc_server import OrthancFailed, OrthancServer, free_port, merged
from phantoms import ct_phantom, mr_phantom, pet_phantom
from server_audit import rows_of_jobs
from server_fixtures import finished, settings, submit, until
from waiting import soon

PLAIN = {"Pipeline": "plain"}

RULES: list[dict[str, Any]] = [
    {"Name": "ct", "Match": {"Modality": "CT", "Rows": {"Max": 40}}, "Derive": {**PLAIN, "SeriesDescription": "a"}},
    {
        "Name": "after",
        "Match": {"SeriesDescription": "a", "InstancesCount": {"Min": 2}},
        "MaxDepth": 1,
        "Derive": {**PLAIN, "SeriesDescription": "b"},
    },
    {
        "Name": "both",
        "Inputs": {"second": {"Modality": "PT"}, "first": {"Modality": "CT", "0028,0010": 48}},
        "Same": ["FrameOfReferenceUID"],
        "Derive": {"Pipeline": "sum"},
    },
    {"Name": "sent", "Match": {"Modality": "MR", "RemoteAET": ["MR1", "ORTHANC"]}, "Derive": PLAIN},
    {"Name": "lost", "Match": {"Modality": "XA"}, "Derive": {"Pipeline": "none", "Destinations": ["nowhere"]}},
    {
        "Name": "posted",
        "Match": {"Any": [{"Modality": "MR"}, {"Modality": "US"}], "Origin": "RestApi", "Not": {"PatientID": "secret"}},
        "IfMoreInstances": "New",
        "Derive": {**PLAIN, "Priority": 3},
    },
    {
        "Name": "whole",
        "Match": {"Modality": "CT", "Rows": 52},
        "WaitFor": {"Series": {"phases": {"Modality": "CT", "Rows": 52, "Count": 2}}, "Seconds": 3600},
        "Derive": PLAIN,
    },
    {
        "Name": "hurried",
        "Match": {"Modality": "CT", "Rows": 56},
        "WaitFor": {"Series": {"pet": {"Modality": "PT", "Rows": 56}}, "Seconds": 0.1, "Otherwise": "Fail"},
        "Derive": PLAIN,
    },
]


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("rules")
    port = free_port()
    itself = {"DicomModalities": {"itself": ["ORTHANC", "127.0.0.1", port]}, "DicomPort": port}
    others = {"OverwriteInstances": True, "DicomServerEnabled": True, "DicomAet": "ORTHANC", **itself}
    with OrthancServer(folder, merged(settings(folder / "library", Rules=RULES), others)) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def any_series(server: OrthancServer) -> str:
    """A series that no rule takes."""
    return server.upload(ct_phantom(slices=1, rows=60, patient_id="any"))


def quiet(server: OrthancServer) -> None:
    """Until all series are stable, rules have looked at them and all jobs are over."""
    soon(lambda: all(_is_quiet(server) for _ in range(3)), "it does not come to rest", 60)


def _is_quiet(server: OrthancServer) -> bool:
    jobs = server.json("/derived-series/jobs?expand")
    if any(job["State"] not in ("Success", "Failure") for job in jobs):
        return False
    if not all(series["IsStable"] for series in server.json("/series?expand")):
        return False
    ((waiting,),) = rows_of_jobs(server, "SELECT count(*) FROM stable_series")
    ((seen,),) = rows_of_jobs(server, "SELECT seen FROM seen_changes") or [(0,)]
    later = server.json(f"/changes?since={seen}&limit=1000")["Changes"]
    return waiting == 0 and not any(change["ChangeType"] == "StableSeries" for change in later)


def jobs_of(server: OrthancServer, series: str) -> list[dict[str, Any]]:
    """The jobs on a series, oldest first."""
    documents: list[dict[str, Any]] = server.json(f"/series/{series}/jobs?expand")
    return documents


def fired(server: OrthancServer, rule: str) -> dict[str, Any]:
    return next(each for each in server.json("/derived-series/rules") if each["Name"] == rule)


def derived(server: OrthancServer, series: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = server.json(f"/series/{series}/derived")
    return documents


def series_of(server: OrthancServer, rule: str) -> list[str]:
    """The series that a rule made and that are there."""
    ids = []
    for series in sorted(server.series_ids()):
        answer = server.get(f"/series/{series}/metadata/4300")
        if answer.ok and answer.json().get("Rule", {}).get("Name") == rule:
            ids.append(series)
    return ids


def test_a_rule_fires_once_and_again_for_more_instances(server: OrthancServer) -> None:
    parent = list(ct_phantom(slices=6))
    ct = server.upload(parent[:4])
    (job,) = soon(lambda: jobs_of(server, ct), "the rule has not fired")
    assert finished(server, job["ID"])["State"] == "Success"
    (first,) = derived(server, ct)
    assert first["Provenance"]["Rule"]["Name"] == "ct" and first["Provenance"]["Rule"]["Depth"] == 1
    server.upload(parent[:4])  # the same once more: it becomes stable again
    changes = server.json("/changes?since=0&limit=1000")["Changes"]
    quiet(server)
    again = [change["ID"] for change in server.json(f"/changes?since={changes[-1]['Seq']}&limit=1000")["Changes"]]
    assert ct in again
    assert len(jobs_of(server, ct)) == 1 and [each["ID"] for each in derived(server, ct)] == [first["ID"]]
    (after,) = derived(server, first["ID"])  # the wanted chain
    assert after["Provenance"]["Rule"]["Chain"] == ["ct", "after"] and after["Provenance"]["Rule"]["Depth"] == 2
    server.upload(parent[4:])
    quiet(server)
    assert [job["State"] for job in jobs_of(server, ct)] == ["Success", "Success"]
    (second,) = derived(server, ct)  # in place of the first
    assert second["ID"] != first["ID"] and len(server.json(f"/series/{second['ID']}")["Instances"]) == 6
    (again,) = derived(server, second["ID"])  # type: ignore[assignment]  # and what the second rule made of the first is replaced as well
    assert server.series_ids() == {ct, second["ID"], again["ID"]} and again["ID"] != after["ID"]  # type: ignore[call-overload]
    rule = fired(server, "ct")
    assert rule["Fired"] == 2 and rule["LastJob"] == second["Provenance"]["Job"] and rule["LastTime"] > "2026"
    assert rule["Problems"] == [] and rule["Match"] == RULES[0]["Match"] and rule["Derive"] == RULES[0]["Derive"]
    assert server.json("/derived-series/status")["Rules"] == [rule["Name"] for rule in RULES]


def test_a_rule_of_two_inputs_waits_for_both(server: OrthancServer) -> None:
    shape = {"slices": 3, "rows": 48, "pixel_spacing": (2.0, 2.0), "spacing": 3.0}
    pet = server.upload(pet_phantom(**shape, patient_id="two"))  # type: ignore[arg-type]
    other = server.upload(ct_phantom(**shape, patient_id="two", study="2"))  # type: ignore[arg-type]  # another study
    quiet(server)
    assert jobs_of(server, pet) == jobs_of(server, other) == []
    elsewhere = list(ct_phantom(**shape, patient_id="two", series="elsewhere"))  # type: ignore[arg-type]
    for dataset in elsewhere:
        dataset.FrameOfReferenceUID = "1.2.3"
    apart = server.upload(elsewhere)
    ct = server.upload(ct_phantom(**shape, patient_id="two"))  # type: ignore[arg-type]
    quiet(server)
    (job,) = jobs_of(server, ct)  # the pipeline's parent input is the parent
    assert job["Content"]["Rule"] == "both" and job["Content"]["Request"]["Inputs"] == {"second": pet}
    assert job["State"] == "Success"
    assert jobs_of(server, pet) == jobs_of(server, other) == jobs_of(server, apart) == []
    assert [each["ID"] for each in derived(server, pet)] == [each["ID"] for each in derived(server, ct)]
    server.upload(pet_phantom(**shape, patient_id="two"))  # type: ignore[arg-type]
    quiet(server)
    assert fired(server, "both")["Fired"] == 1
    outcomes = simulated(server, [apart, pet])
    assert outcomes[apart, "both"]["Reason"] == "FrameOfReferenceUID is not the same in all inputs"
    assert outcomes[pet, "both"]["Inputs"] == {"first": ct, "second": pet}
    assert (outcomes[pet, "both"]["Fires"], outcomes[pet, "both"]["Job"]) == (False, job["ID"])


def test_a_study_is_waited_for_over_a_restart_and_not_for_ever(server: OrthancServer) -> None:
    shape = {"slices": 2, "rows": 52, "patient_id": "whole"}
    first = server.upload(ct_phantom(**shape, series="early"))  # type: ignore[arg-type]
    soon(lambda: fired(server, "whole")["Waiting"], "the rule does not wait")
    server.kill()
    server.start()
    (waiting,) = fired(server, "whole")["Waiting"]
    assert waiting["State"] == "Waiting" and waiting["Missing"] == {"phases": {"There": 1, "Wanted": 2}}
    assert jobs_of(server, first) == []
    assert simulated(server, [first])[first, "whole"]["Reason"] == "the study is not complete: phases (1 of 2)"
    second = server.upload(ct_phantom(**shape, series="late"))  # type: ignore[arg-type]
    quiet(server)
    for series in (first, second):
        assert [job["State"] for job in jobs_of(server, series)] == ["Success"]
    whole = fired(server, "whole")
    assert whole["Fired"] == 2 and whole["Waiting"] == []
    assert [each["Text"] for each in whole["Remarks"]] == ["the study is complete: 2 jobs are made"]
    # the other one gives up, and takes up again
    shape = {"slices": 2, "rows": 56, "patient_id": "hurried"}
    ct = server.upload(ct_phantom(**shape))  # type: ignore[arg-type]
    (failed,) = soon(lambda: jobs_of(server, ct), "its time is not over")
    assert failed["State"] == "Failure" and "the study lacks pet (0 of 1)" in failed["ErrorDescription"]
    assert [each["State"] for each in fired(server, "hurried")["Waiting"]] == ["Late"]
    server.upload(pet_phantom(**shape))  # type: ignore[arg-type]
    quiet(server)
    assert [job["State"] for job in jobs_of(server, ct)] == ["Failure", "Success"]
    assert fired(server, "hurried")["Waiting"] == []


def simulated(server: OrthancServer, series: list[str], **more: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """By series and rule."""
    answers = [server.json(f"/series/{each}/rules/simulate", "POST", json=more) for each in series]
    return {(each["Series"], outcome["Rule"]): outcome for each in answers for outcome in each["Rules"]}


def test_rules_by_origin_and_what_would_have_fired(server: OrthancServer) -> None:
    secret = server.upload(mr_phantom(slices=2, patient_id="secret"))
    mr = server.upload(mr_phantom(slices=2, patient_id="open"))
    quiet(server)
    (job,) = jobs_of(server, mr)
    assert job["Priority"] == 3 and jobs_of(server, secret) == []
    answers = server.json("/derived-series/rules/simulate", "POST", json={"Last": 3})
    assert [each["Series"] for each in answers][0] == derived(server, mr)[0]["ID"]
    assert {each["Series"] for each in answers[1:]} == {mr, secret}
    outcomes = {(each["Series"], outcome["Rule"]): outcome for each in answers for outcome in each["Rules"]}
    why = simulated(server, [each["Series"] for each in answers])
    for key, outcome in outcomes.items():  # the list says which rules fire, and tells nothing of a tag
        reason = f"POST /series/{key[0]}/rules/simulate tells why"
        assert outcome == why[key] or outcome == {**why[key], "Reason": reason}
    outcomes = why
    assert outcomes[mr, "posted"] == {
        **{"Rule": "posted", "Fires": False, "Reason": "it has fired for these instances already"},
        "Job": job["ID"],
    }
    assert outcomes[secret, "posted"]["Reason"] == 'Not: PatientID is "secret"'
    assert outcomes[mr, "sent"]["Reason"] == "RemoteAET is missing"
    assert outcomes[mr, "ct"]["Reason"] == 'Modality is "MR", wanted "CT"'
    assert outcomes[answers[0]["Series"], "posted"]["Reason"] == 'Origin is "Plugins", wanted "RestApi"'
    new = {"Name": "new", "Match": {"Modality": "MR"}, "Derive": PLAIN}
    tried = simulated(server, [mr, answers[0]["Series"]], Rules=[new])
    assert tried[mr, "new"] == {"Rule": "new", "Fires": True, "Reason": "it matches"}
    assert tried[answers[0]["Series"], "new"]["Reason"] == "it is derived (1 step(s) deep), MaxDepth is 0"
    # a derived series that comes back without its metadata is known by the marks in its instances
    copies = server.download(answers[0]["Series"])
    server.delete(f"/series/{answers[0]['Series']}")
    slow = submit(server, mr, Pipeline="plain", Parameters={"Seconds": 60})
    until(server, slow, {"Running"})
    copy = server.upload(copies)
    assert copy == answers[0]["Series"]
    soon(lambda: server.json(f"/series/{copy}")["IsStable"], "it does not become stable")
    outcomes = simulated(server, [copy], Rules=[{**new, "MaxDepth": 1}, {**new, "Name": "strict"}])
    assert outcomes[copy, "new"]["Reason"] == "it is not stable yet"  # it may be what the job in the study stores
    assert outcomes[copy, "strict"]["Reason"] == "it is derived (1 step(s) deep), MaxDepth is 0"
    server.post(f"/derived-series/jobs/{slow}/cancel")
    finished(server, slow)
    assert simulated(server, [copy], Rules=[{**new, "MaxDepth": 1}])[copy, "new"]["Fires"]
    # the same instances by C-STORE: other metadata, and so another rule
    server.json("/modalities/itself/store", "POST", data=secret)
    (sent,) = soon(lambda: jobs_of(server, secret), "the rule for the sender has not fired")
    finished(server, sent["ID"])
    assert fired(server, "sent")["LastJob"] == sent["ID"] and fired(server, "posted")["Fired"] == 1
    quiet(server)
    assert jobs_of(server, copy) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Lasts": 3}, ["unknown key 'Lasts'", "Last, Series"]),
        ({"Series": ["x"]}, ["Series.0"]),
        ({"Series": ["00000000-00000000-00000000-00000000-00000000"]}, ["there is no series"]),
        ({"Rules": []}, ["POST /series/{id}/rules/simulate"]),
    ],
)
def test_a_wrong_simulation_is_told(server: OrthancServer, body: dict[str, Any], words: list[str]) -> None:
    answer = server.post("/derived-series/rules/simulate", json=body)
    assert answer.status_code in (400, 404)
    for word in words:
        assert word in answer.json()["Message"] + answer.json()["Remedy"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"Name": "x", "Match": {"Modalty": "CT"}, "Derive": PLAIN}, ["'Modalty' of the rule 'x'"]),
        ({"Name": "x", "Match": {}, "Derive": PLAIN}, ["Rules.0.Match", "empty"]),
    ],
)
def test_a_wrong_rule_to_try_is_told(
    server: OrthancServer, any_series: str, rule: dict[str, Any], words: list[str]
) -> None:
    answer = server.post(f"/series/{any_series}/rules/simulate", json={"Rules": [rule]})
    assert answer.status_code == 400
    for word in words:
        assert word in answer.json()["Message"] + answer.json()["Remedy"]


def test_a_regular_expression_without_end_holds_up_nothing(server: OrthancServer) -> None:
    ct = list(ct_phantom(slices=1, rows=48, patient_id="endless"))
    ct[0].SeriesDescription = "a" * 40 + "!"
    series = server.upload(ct)
    endless = {"Name": "x", "Match": {"SeriesDescription": {"Regex": "^(a+)+$"}}, "Derive": PLAIN}
    answer = requests.post(f"{server.url}/series/{series}/rules/simulate", json={"Rules": [endless]}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert "wanted a match of" in answer.json()["Rules"][0]["Reason"]


def test_what_a_rule_names_and_is_not_there_is_told(server: OrthancServer) -> None:
    assert fired(server, "lost")["Problems"] == ["there is no pipeline 'none'", "there is no destination 'nowhere'"]


def test_what_would_fail_is_told_of_rules_to_try(server: OrthancServer, any_series: str) -> None:
    series = any_series
    wrong = {"Name": "x", "Match": {"Modality": "none"}, "Derive": {**PLAIN, "Parameters": {"Seconds": "x"}}}
    waits = {"Series": {"ct": {"Modality": "CT"}}, "Seconds": 1, "Otherwise": {"Derive": {"Pipeline": "none"}}}
    tried = simulated(server, [series], Rules=[wrong, {**wrong, "Name": "y", "Derive": PLAIN, "WaitFor": waits}])
    (problem,) = tried[series, "x"]["Problems"]
    assert problem.startswith("parameters of pipeline 'plain': Seconds: a number is expected, not string")
    assert tried[series, "y"]["Problems"] == ["there is no pipeline 'none'"]
    twice = server.post(f"/series/{series}/rules/simulate", json={"Rules": [wrong, wrong]})
    assert twice.status_code == 400 and "several rules are named 'x'" in twice.json()["Message"]


def test_a_restart_and_a_full_queue_miss_nothing(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    slow = {"Name": "slow", "Match": {"Modality": "CT"}, "Derive": {**PLAIN, "Parameters": {"Seconds": 0.7}}}
    keys = {"Workers": 1, "QueueSize": 1, "Rules": [slow]}
    server = start_orthanc(settings(tmp_path / "library"))
    early = server.upload(ct_phantom(slices=2, series="early"))  # stable before there are rules
    soon(lambda: server.json(f"/series/{early}")["IsStable"], "it does not become stable")
    server.restart(settings(tmp_path / "library", **keys))
    parents = [server.upload(ct_phantom(slices=2, series=name)) for name in "abc"]
    soon(lambda: server.json("/derived-series/jobs"), "the rule has not fired")
    assert server.json("/derived-series/jobs?limit=9") == server.json("/derived-series/jobs")
    parents.append(server.upload(ct_phantom(slices=2, series="d")))  # not stable yet
    server.kill()
    server.start()
    quiet(server)
    for parent in parents:
        assert [job["State"] for job in jobs_of(server, parent)] == ["Success"], parent
        assert len(derived(server, parent)) == 1
    assert len(server.series_ids()) == 9 and fired(server, "slow")["Fired"] == 4
    outcome = simulated(server, [early])[early, "slow"]
    assert not outcome["Fires"] and outcome["Reason"].startswith("it matches, but the series was stable before")
    (listed,) = server.json("/derived-series/rules/simulate", "POST", json={"Series": [early]})
    assert listed["Rules"] == [outcome]
    assert simulated(server, [early], Rules=[slow])[early, "slow"]["Fires"], "tried, as if it were stable now"
    assert simulated(server, parents[:1])[parents[0], "slow"]["Reason"] == "it has fired for these instances already"
    assert server.stop() == 0  # in good order: nothing is left to do
    server.start()
    quiet(server)
    assert len(server.json("/derived-series/jobs")) == 4


def test_chained_and_self_matching_rules_settle(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """Ten rules in a ring; each one matches what the one before made, and what it makes itself."""
    steps = [f"step {number}" for number in range(10)]
    rules: list[dict[str, Any]] = [
        {
            "Name": name,
            "Match": {"SeriesDescription": [steps[number - 1], name, *(["start"] if number == 0 else [])]},
            "MaxDepth": 100,
            "Derive": {**PLAIN, "SeriesDescription": name},
        }
        for number, name in enumerate(steps)
    ]
    rules.append({"Name": "all", "Match": {"Modality": "CT"}, "Derive": {**PLAIN, "SeriesDescription": "all"}})
    rules.append({**rules[-1], "Name": "unlucky", "Derive": {"Pipeline": "bad", "Parameters": {"How": "raise"}}})
    server = start_orthanc(settings(tmp_path / "library", Rules=rules))
    parent = list(ct_phantom(slices=2))
    for dataset in parent:
        dataset.SeriesDescription = "start"
    server.upload(parent)
    soon(lambda: len(server.series_ids()) == 12, "the chain has not come to its end", 60)
    quiet(server)
    assert len(server.series_ids()) == 12 and len(server.json("/derived-series/jobs")) == 12
    assert {name: fired(server, name)["Fired"] for name in [*steps, "all", "unlucky"]} == dict.fromkeys(
        [*steps, "all", "unlucky"], 1
    )
    (last,) = series_of(server, steps[-1])
    provenance = server.json(f"/series/{last}/provenance")
    assert provenance["Rule"]["Chain"] == steps and provenance["Rule"]["Depth"] == 10
    assert simulated(server, [last])[last, steps[0]]["Reason"] == "it comes from this rule itself"


def test_wrong_rules_are_named_and_orthanc_does_not_start(start_orthanc: StartOrthanc) -> None:
    rules = [{"Name": "x", "Match": {"Modalty": "CT", "Not": {"Modality": "PT", "Fro": "1"}}, "Derive": PLAIN}]
    with pytest.raises(OrthancFailed) as caught:
        start_orthanc({"DerivedSeries": {"Rules": rules}})
    for word in ("'Modalty'", "'Fro'", "'x'", "RemoteAET"):
        assert word in caught.value.log
