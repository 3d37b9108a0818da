"""Destinations and provenance on real Orthancs: what is stored here is sent on, and tells where it comes from."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import StartOrthanc
from orthanc_server import OrthancServer, free_port
from phantoms import ct_phantom
from server_fixtures import settings

SMOOTH = {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 1.5}}

MEASURED = '''
"""The parent, and a number beside it."""
from derived_series import derivation
from derived_series.pipelines import Output, Parameters, Pipeline, Value


class Measured(Parameters):
    Volume: float = 0.0


class Measuring(Pipeline):
    name = "measured"
    parameters = Measured
    outputs = {"copy": Output()}

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Nothing", "Smoothing")

    def process(self, container):
        volume = Value(container.parameters.Volume, "ml")
        return {"copy": container["parent"].voxels(), "values": {"volume_ml": volume}}
'''

#: The two transfer syntaxes that are not compressed.
PLAIN = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]


def with_destinations(folder: Path, **keys: Any) -> tuple[dict[str, Any], int, int]:
    """Changes of a configuration with one destination of each kind, which listen on no port yet."""
    http, dicom = free_port(), free_port()
    changes = settings(folder / "library", RetryPause=0.1, **keys)
    changes["DicomWeb"] = {"Servers": {"web": [f"http://127.0.0.1:{http}/dicom-web/"]}}
    changes["DicomModalities"] = {"pacs": ["PACS", "127.0.0.1", dicom]}
    return changes, http, dicom


def receiver(start_orthanc: StartOrthanc, http: int, dicom: int, **keys: Any) -> OrthancServer:
    changes = {
        **keys,
        "HttpPort": http,
        "DicomServerEnabled": True,
        "DicomAet": "PACS",
        "DicomPort": dicom,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
    }
    return start_orthanc(changes)


def ended(server: OrthancServer, job_id: str, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = server.json(f"/derived-series/jobs/{job_id}")
        if job["State"] in ("Success", "Failure"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"job {job_id} did not end: {job}")


def test_a_series_reaches_a_dicomweb_server_and_a_modality(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    finding = {"Derived": "measured", "Output": "copy"}
    rules = [
        {"Name": "large", "Match": {**finding, "Values": {"volume_ml": {"Min": 30, "Unit": "ml"}}}, "SendTo": ["web"]},
        {"Name": "small", "Match": {**finding, "Values": {"volume_ml": {"Max": 29.9}}}, "SendTo": ["pacs"]},
    ]
    changes, http, dicom = with_destinations(tmp_path, Rules=rules)
    (tmp_path / "library" / "measured.py").write_text(MEASURED)
    sender, pacs = start_orthanc(changes), receiver(start_orthanc, http, dicom)
    parent = sender.upload(ct_phantom(slices=4))
    for name in ("web", "pacs"):
        answer = sender.json(f"/series/{parent}/derive", "POST", json={**SMOOTH, "Destinations": [name]})
        assert answer["Destinations"] == {name: "Success"}
        assert pacs.series_ids() == {answer["ID"]}
        here, there = sender.download(answer["ID"]), pacs.download(answer["ID"])
        assert [d.SOPInstanceUID for d in here] == [d.SOPInstanceUID for d in there]
        assert [d.PixelData for d in here] == [d.PixelData for d in there]
        pacs.delete_all()
    for volume, rule, name in ((31, "large", "web"), (3, "small", "pacs")):  # the finding chooses
        request = {"Pipeline": "measured", "Parameters": {"Volume": volume}, "Asynchronous": True}
        job_id = sender.json(f"/series/{parent}/derive", "POST", json=request)["ID"]
        job = ended(sender, job_id)
        deadline = time.monotonic() + 30
        while job["State"] != "Success" or "Destinations" not in job["Content"]["Result"]:
            assert time.monotonic() < deadline, job
            job = ended(sender, job_id)
        assert job["Content"]["Result"]["Destinations"] == {name: "Success"}
        assert pacs.series_ids() == {job["Content"]["Result"]["ID"]}
        assert [act["Action"] for act in job["Content"]["Audit"]] == ["Derive", "Send"]
        entry = {each["Name"]: each for each in sender.json("/derived-series/rules")}[rule]
        assert entry["Fired"] == 1 and entry["LastJob"] == job_id and entry["Problems"] == []
        pacs.delete_all()


def test_a_destination_that_is_away_leaves_the_series_here_and_the_job_to_be_resumed(
    start_orthanc: StartOrthanc, tmp_path: Path
) -> None:
    changes, http, dicom = with_destinations(tmp_path, Attempts=2)
    sender = start_orthanc(changes)
    parent = sender.upload(ct_phantom(slices=4))
    request = {**SMOOTH, "Destinations": ["web", "pacs"], "Asynchronous": True}
    job_id = sender.json(f"/series/{parent}/derive", "POST", json=request)["ID"]
    failed = ended(sender, job_id)
    assert failed["State"] == "Failure" and failed["Content"]["Attempt"] == 2
    result = failed["Content"]["Result"]
    assert result["Destinations"] == {"web": "Failure", "pacs": "Failure"}
    assert "web" in failed["ErrorDescription"] and "pacs" in failed["ErrorDescription"]
    stored = sender.download(result["ID"])
    assert len(stored) == 4

    pacs = receiver(start_orthanc, http, dicom)
    sender.json(f"/derived-series/jobs/{job_id}/resubmit", "POST")
    resumed = ended(sender, job_id)
    assert resumed["State"] == "Success", resumed
    assert resumed["Content"]["Result"]["Destinations"] == {"web": "Success", "pacs": "Success"}
    assert resumed["Content"]["Result"]["ID"] == result["ID"], "it was made a second time"
    assert sender.series_ids() == {parent, result["ID"]}
    assert {d.SOPInstanceUID for d in pacs.download(result["ID"])} == {d.SOPInstanceUID for d in stored}


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless"])
def test_orthanc_transcodes_for_a_modality_that_takes_no_compressed_series(
    start_orthanc: StartOrthanc, tmp_path: Path, syntax: str
) -> None:
    changes, http, dicom = with_destinations(tmp_path)
    sender, pacs = start_orthanc(changes), receiver(start_orthanc, http, dicom, AcceptedTransferSyntaxes=PLAIN)
    parent = sender.upload(ct_phantom(slices=2))
    request = {**SMOOTH, "Destinations": ["pacs"], "TransferSyntax": syntax}
    answer = sender.json(f"/series/{parent}/derive", "POST", json=request)
    assert answer["Destinations"] == {"pacs": "Success"}
    here, there = sender.download(answer["ID"]), pacs.download(answer["ID"])
    assert here[0].file_meta.TransferSyntaxUID.keyword == syntax
    assert {d.file_meta.TransferSyntaxUID for d in there} <= set(PLAIN)
    assert all((a.pixel_array == b.pixel_array).all() for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize(
    ("syntax", "transcodes", "name"),
    [("JPEGLSLossless", False, "JPEG-LS Lossless"), ("HTJ2KLossless", True, "High-Throughput JPEG 2000")],
)
def test_a_modality_that_does_not_take_a_transfer_syntax_is_named_and_not_asked_again(
    start_orthanc: StartOrthanc, tmp_path: Path, syntax: str, transcodes: bool, name: str
) -> None:
    changes, http, dicom = with_destinations(tmp_path)
    changes["DicomModalities"]["pacs"] = {
        "AET": "PACS", "Host": "127.0.0.1", "Port": dicom, "AllowTranscoding": transcodes
    }  # fmt: skip
    sender, pacs = start_orthanc(changes), receiver(start_orthanc, http, dicom, AcceptedTransferSyntaxes=PLAIN)
    parent = sender.upload(ct_phantom(slices=2))
    request = {**SMOOTH, "Destinations": ["pacs", "web"], "TransferSyntax": syntax, "Asynchronous": True}
    job_id = sender.json(f"/series/{parent}/derive", "POST", json=request)["ID"]
    failed = ended(sender, job_id)
    assert failed["State"] == "Failure" and failed["Content"]["Attempt"] == 1, json.dumps(failed)
    assert failed["Content"]["Result"]["Destinations"] == {"pacs": "Refused", "web": "Success"}
    description = failed["ErrorDescription"]
    assert f"pacs does not take the transfer syntax {name}" in description and "CT Image Storage" in description
    remedy = failed["Content"]["Error"]["Remedy"]
    assert "TransferSyntax" in remedy and "answers again" not in remedy

    pacs.restart({**pacs.changes, "AcceptedTransferSyntaxes": ["*"]})
    sender.json(f"/derived-series/jobs/{job_id}/resubmit", "POST")
    again = ended(sender, job_id)
    if syntax == "JPEGLSLossless":  # Debian 12's Orthanc cannot send the other one at all
        assert again["Content"]["Result"]["Destinations"] == {"pacs": "Success", "web": "Success"}
    else:
        assert again["Content"]["Result"]["Destinations"]["pacs"] in ("Refused", "Success")


def test_a_refusal_is_still_told_when_a_retry_has_reached_the_others(
    start_orthanc: StartOrthanc, tmp_path: Path
) -> None:
    changes, _, dicom = with_destinations(tmp_path)
    away = free_port()
    changes["DicomModalities"] = {
        "pacs": {"AET": "PACS", "Host": "127.0.0.1", "Port": dicom, "AllowTranscoding": False},
        "late": ["LATE", "127.0.0.1", away],
    }
    sender = start_orthanc(changes)
    receiver(start_orthanc, free_port(), dicom, AcceptedTransferSyntaxes=PLAIN)
    parent = sender.upload(ct_phantom(slices=2))
    request = {**SMOOTH, "Destinations": ["pacs", "late"], "TransferSyntax": "RLELossless", "Asynchronous": True}
    job_id = sender.json(f"/series/{parent}/derive", "POST", json=request)["ID"]
    while sender.json(f"/derived-series/jobs/{job_id}")["State"] != "Retry":
        time.sleep(0.05)
    receiver(start_orthanc, free_port(), away)
    failed = ended(sender, job_id)
    assert failed["State"] == "Failure"
    assert failed["Content"]["Result"]["Destinations"] == {"pacs": "Refused", "late": "Success"}
    assert "pacs does not take the transfer syntax RLE Lossless" in failed["ErrorDescription"]


def test_a_synchronous_request_is_answered_once_the_series_is_stored(
    start_orthanc: StartOrthanc, tmp_path: Path
) -> None:
    changes, _, _ = with_destinations(tmp_path, Attempts=4)
    changes["DerivedSeries"]["RetryPause"] = 30.0
    sender = start_orthanc(changes)
    parent = sender.upload(ct_phantom(slices=3))
    answer = sender.post(f"/series/{parent}/derive", json={**SMOOTH, "Destinations": ["pacs"]})
    assert answer.status_code == 202
    assert answer.json()["Destinations"] == {"pacs": "Failure"}
    assert len(sender.download(answer.json()["ID"])) == 3
    job = sender.json(f"/derived-series/jobs/{answer.json()['JobID']}")
    assert job["State"] == "Retry" and "pacs" in job["ErrorDescription"]
    sender.json(f"/derived-series/jobs/{job['ID']}/cancel", "POST")
    assert ended(sender, job["ID"])["State"] == "Failure"
    assert len(sender.download(answer.json()["ID"])) == 3, "cancelling a delivery removed the series"


def test_an_unknown_destination_is_refused_before_anything_is_made(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    changes, _, _ = with_destinations(tmp_path)
    sender = start_orthanc(changes)
    parent = sender.upload(ct_phantom(slices=3))
    answer = sender.post(f"/series/{parent}/derive", json={**SMOOTH, "Destinations": ["web", "nowhere"]})
    assert answer.status_code == 404
    assert "nowhere" in answer.json()["Message"]
    assert "pacs" in answer.json()["Remedy"] and "web" in answer.json()["Remedy"]
    assert sender.series_ids() == {parent} and sender.json("/derived-series/jobs") == []


@pytest.fixture
def derived(empty_orthanc: OrthancServer) -> tuple[OrthancServer, str, dict[str, Any]]:
    parent = empty_orthanc.upload(ct_phantom(slices=4))
    return empty_orthanc, parent, empty_orthanc.json(f"/series/{parent}/derive", "POST", json=SMOOTH)


def test_a_derived_series_tells_its_provenance(derived: tuple[OrthancServer, str, dict[str, Any]]) -> None:
    server, parent, answer = derived
    provenance = server.json(f"/series/{answer['ID']}/provenance")
    assert provenance["Job"] == answer["JobID"] and provenance["Pipeline"] == "gaussian_smoothing"
    assert provenance["Parameters"] == {"SigmaMm": 1.5}
    uid = server.json(f"/series/{parent}")["MainDicomTags"]["SeriesInstanceUID"]
    assert provenance["Parents"] == [{"Input": "image", "ID": parent, "SeriesInstanceUID": uid}]
    pipeline = server.json("/derived-series/pipelines/gaussian_smoothing")
    assert provenance["Code"]["Sha256"] == pipeline["Sha256"]
    tags = {row["Keyword"]: row for row in provenance["Header"]["Tags"]}
    assert tags["DerivationDescription"]["Value"] == "Gaussian smoothing, sigma 1.5 mm"
    assert tags["SOPInstanceUID"]["VariesByInstance"]


def test_a_series_tells_what_was_derived_from_it(derived: tuple[OrthancServer, str, dict[str, Any]]) -> None:
    server, parent, answer = derived
    again = server.json(f"/series/{answer['ID']}/derive", "POST", json=SMOOTH)
    assert [item["ID"] for item in server.json(f"/series/{parent}/derived")] == [answer["ID"]]
    assert [item["ID"] for item in server.json(f"/series/{answer['ID']}/derived")] == [again["ID"]]
    assert server.json(f"/series/{again['ID']}/derived") == []
    assert server.get(f"/series/{parent}/provenance").status_code == 404
    assert server.get("/series/nothing/derived").status_code == 404


def test_jobs_are_on_the_page_for_prometheus(derived: tuple[OrthancServer, str, dict[str, Any]]) -> None:
    server, _, answer = derived
    lines = server.get("/tools/metrics-prometheus").text.splitlines()
    values = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("derived_series")}
    assert values["derived_series_jobs_success"] >= 1 and values["derived_series_jobs_running"] == 0
    assert values["derived_series_instances_stored"] >= answer["InstancesCount"]
    assert {"derived_series_seconds_fetching", "derived_series_seconds_storing"} <= set(values)


def test_the_dicomweb_plugin_answers_elsewhere(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """Destinations, rules, workers and OHIF ask it where DicomWeb.Root says."""
    rule = {
        "Name": "web",
        "Match": {"Modality": "MR"},
        "Derive": {"Pipeline": "gaussian_smoothing", "Destinations": ["web", "unknown"]},
    }
    changes, http, dicom = with_destinations(tmp_path, Rules=[rule])
    changes["DicomWeb"]["Root"] = "/pacs/web/"
    sender, pacs = start_orthanc(changes), receiver(start_orthanc, http, dicom)
    parent = sender.upload(ct_phantom(slices=4))
    answer = sender.json(f"/series/{parent}/derive", "POST", json={**SMOOTH, "Destinations": ["web"]})
    assert answer["Destinations"] == {"web": "Success"} and pacs.series_ids() == {answer["ID"]}
    (rule_document,) = sender.json("/derived-series/rules")
    assert rule_document["Problems"] == ["there is no destination 'unknown'"]
    script = sender.get("/derived-series/app/ohif/ohif-config.js").text
    assert 'DICOM_WEB_ROOT = "/pacs/web"' in script and '"/dicom-web"' not in script
    assert [
        each["Fits"] for each in sender.json(f"/series/{parent}/pipelines") if each["Name"] == SMOOTH["Pipeline"]
    ] == [True]
