"""The table of routes without a server: each handler answers in Orthanc's shape, whatever is asked."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import StorageError
from derived_series.jobs.metadata import EXPLANATION, PROVENANCE
from derived_series.orthanc.addresses import ADDRESSES
from derived_series.orthanc.routes.derive import _is_mangled
from orthanc_server import REPOSITORY
from route_client import RouteClient

SERIES, OTHER, MISSING = (f"{digit * 8}-" * 4 + digit * 8 for digit in "abc")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RouteClient]:
    route_client = RouteClient(tmp_path, BlueprintFolders=[str(REPOSITORY / "blueprints")], Workers=1)
    route_client.gateway.add_series(SERIES, "i1", "i2")
    yield route_client
    route_client.gateway.end()


def test_every_address_has_its_handlers(client: RouteClient) -> None:
    patterns = {route.pattern: sorted(route.handlers) for route in client.gateway.routes}
    assert patterns == {row.pattern: sorted(row.methods) for row in ADDRESSES.values()}


def test_the_status_lists_what_the_folders_hold(client: RouteClient) -> None:
    status = client.get("/derived-series/status").json
    assert "gaussian_smoothing" in status["Pipelines"] and "ct" in status["Blueprints"]
    assert status["Problems"] == [] and status["Deriving"]


def test_a_job_is_accepted_listed_and_cancelled_below_its_series(client: RouteClient) -> None:
    job = client.post(f"/series/{SERIES}/derive", {"Pipeline": "gaussian_smoothing", "Asynchronous": True}).json
    assert job["Path"] == f"/series/{SERIES}/jobs/{job['ID']}"
    assert client.get(f"/series/{SERIES}/jobs").json == [job["ID"]]
    assert client.get("/derived-series/jobs").json == [job["ID"]]
    listed = client.get(job["Path"]).json
    assert listed["State"] == "Pending" and listed["Content"]["Request"]["Pipeline"] == "gaussian_smoothing"
    moved = client.get(f"/derived-series/jobs/{job['ID']}")
    assert moved.status == 307 and moved.answer.headers["Location"].endswith(job["Path"])
    assert client.get(f"/series/{OTHER}/jobs/{job['ID']}").status == 404
    assert client.delete(job["Path"]).status == 409  # it is not over
    assert client.post(f"{job['Path']}/cancel").status == 200


def test_the_scratch_folder_is_swept_from_the_start_on(client: RouteClient) -> None:
    client.gateway.begin()
    assert "scratch" in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "JSON"),
        ({"Pipelin": "x"}, 400, "unknown key 'Pipelin'"),
        ({"Pipeline": "no_such"}, 404, "no pipeline 'no_such'"),
        ({"Pipeline": "gaussian_smoothing", "Parameters": {"FWHM": "wide"}}, 400, "FWHM"),
        ({"Pipeline": "gaussian_smoothing", "Inputs": {"other": MISSING}}, 404, MISSING),
        ({"Pipeline": "gaussian_smoothing", "Destinations": ["nowhere"]}, 404, "'nowhere'"),
    ],
)
def test_a_wrong_request_is_refused_in_orthancs_shape(client: RouteClient, body: Any, status: int, words: str) -> None:
    reply = client.post(f"/series/{SERIES}/derive", body)
    assert reply.status == reply.json["HttpStatus"] == status
    assert words in reply.json["Message"]
    assert reply.json["Method"] == "POST" and reply.json["Uri"] == f"/series/{SERIES}/derive"
    assert client.get("/derived-series/jobs").json == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("ct/numpy", b"{}", "JSON file of measurements, which the factory numpy does not read"),
        ("ct/ct", b'{"Pipeline": "x"}', "factory ct does not read"),
        ("ct/nifti", b"\x93NUMPY\x01\x00", "factory nifti does not read"),
        ("segmentation/segmentation", b"%PDF-1.4", "PDF file, which the factory segmentation does not read"),
        ("encapsulated_pdf/pdf", b"\x93NUMPY\x01\x00", "factory pdf does not read"),
    ],
)
def test_a_file_that_the_factory_does_not_read_is_refused_before_a_job(
    client: RouteClient, path: str, body: bytes, words: str
) -> None:
    reply = client.post(f"/series/{SERIES}/derive/{path}", body + bytes(64) if body[:1] != b"{" else body)
    assert reply.status == 400 and words in reply.json["Message"] and "use the factory" in reply.json["Remedy"]
    assert client.get("/derived-series/jobs").json == []


@pytest.mark.parametrize("path", ["provenance", "derived", "review", "sources", "manifest", "pipelines"])
def test_an_unknown_series_is_not_found(client: RouteClient, path: str) -> None:
    reply = client.get(f"/series/{MISSING}/{path}")
    assert reply.status == 404 and MISSING in reply.json["Message"] and reply.json["Remedy"]


def test_another_method_is_refused_with_those_that_there_are(client: RouteClient) -> None:
    reply = client.request("PUT", f"/series/{SERIES}/review")
    assert reply.status == 405 and reply.answer.headers["Allow"] == "GET, POST"


def test_an_error_of_ours_is_an_answer_too(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.gateway, "series", lambda identifier: 1 / 0)
    reply = client.get(f"/series/{SERIES}/provenance")
    assert reply.status == 500 and reply.json["Message"] == "internal error" and reply.json["Remedy"]


def test_a_foreign_page_changes_nothing(client: RouteClient) -> None:
    body = {"Pipeline": "gaussian_smoothing", "Asynchronous": True}
    assert client.post(f"/series/{SERIES}/derive", body, origin="http://evil.example").status == 403
    assert client.get("/derived-series/jobs").json == []


def derived_from(client: RouteClient, parent: str) -> None:
    """A series in the study with a provenance."""
    client.gateway.add_series(OTHER, "i3")
    provenance = {"Job": "j", "Created": "2026", "Parents": [{"Input": "parent", "ID": parent}], "Warnings": ["of him"]}
    client.gateway.resources[f"/series/{OTHER}/metadata/{PROVENANCE}"] = provenance
    client.gateway.resources[f"/series/{OTHER}/attachments/{EXPLANATION}/data"] = [{"Tag": "0008,0060"}]


@pytest.mark.parametrize("document", ["seen", {"Job": "j", "Parents": [{}]}, {"Job": "j", "Request": {"Inputs": None}}])
def test_metadata_that_another_program_wrote_is_not_a_provenance(client: RouteClient, document: Any) -> None:
    derived_from(client, SERIES)
    client.gateway.resources[f"/series/{OTHER}/metadata/{PROVENANCE}"] = document
    assert client.get(f"/series/{SERIES}/derived").json == []
    assert client.get(f"/series/{OTHER}/provenance").status == 404
    assert client.get(f"/series/{OTHER}/sources").json["Provenance"] is None


def test_what_was_derived_from_a_series_tells_no_warnings_of_it(client: RouteClient) -> None:
    derived_from(client, SERIES)
    (item,) = client.get(f"/series/{SERIES}/derived").json
    assert item["ID"] == OTHER and "Warnings" not in item["Provenance"]
    whole = client.get(f"/series/{OTHER}/provenance").json
    assert whole["Warnings"] == ["of him"] and whole["Header"] == [{"Tag": "0008,0060"}]
    assert client.get(f"/series/{SERIES}/provenance").status == 404
    (source,) = client.get(f"/series/{OTHER}/sources").json["Parents"]
    assert source["IsThere"]
    del client.gateway.resources[f"/series/{SERIES}"]
    (source,) = client.get(f"/series/{OTHER}/sources").json["Parents"]
    assert not source["IsThere"]


@pytest.mark.parametrize("name", ["derived", "pipelines"])
def test_lists_of_a_series_refuse_parameters_that_they_do_not_have(client: RouteClient, name: str) -> None:
    refusal = client.get(f"/series/{SERIES}/{name}?expand")
    assert refusal.status == 400 and "has no parameter 'expand'" in refusal.json["Message"]


def test_a_verdict_is_written_once_and_seen(client: RouteClient) -> None:
    derived_from(client, SERIES)
    client.gateway.resources[f"/series/{OTHER}/study"] = {"MainDicomTags": {"StudyInstanceUID": "1.2"}}
    path = f"/series/{OTHER}/review"
    assert client.get(path).json["State"] == "Unreviewed"
    assert client.post(path, {"Verdict": "Accept"}).status == 400  # nobody's
    assert client.post(path, {"Verdict": "Accept", "User": "Ann"}).json["State"] == "Accepted"
    assert json.loads(client.gateway.written[f"/series/{OTHER}/metadata/4301"])["User"] == "Ann"
    late = client.post(path, {"Verdict": "Reject", "User": "Bob", "Code": "MotionBlur", "Known": "Unreviewed"})
    assert late.status == 409 and f"the series {OTHER} was accepted by Ann on 2" in late.json["Message"]
    assert late.json["Message"].endswith(" since you looked at it")
    assert client.post(path, {"Verdict": "Reject", "User": "Bob", "Code": "Ugly"}).status == 400


def test_a_worker_that_cannot_reach_orthanc_is_an_answer(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object) -> list[Any]:
        raise StorageError("no answer", transient=True)

    monkeypatch.setattr("derived_series.orthanc.routes.fitting.fit", unreachable)
    reply = client.get(f"/series/{SERIES}/pipelines")
    assert reply.status == StorageError.http_status and reply.json["Message"] == "no answer"


def test_pages_and_their_files_are_served_with_their_types(client: RouteClient) -> None:
    page = client.get("/derived-series").answer
    assert page.content_type == "text/html; charset=utf-8" and "default-src 'self'" in str(page.headers)
    names = re.findall(r'(?:src|href)="(?:[^"]*/)?app/([^"]+\.(?:js|css))"', page.body.decode())
    assert names
    for name in names:
        assert client.get(f"/derived-series/app/{name}").status == 200
    assert client.get("/derived-series/app/shared/passwd").status == 404


def test_a_compressed_image_that_was_sent_as_text_is_told_whenever_it_was_compressed() -> None:
    """Without its NULs, the time of compression stands where the flags of the header are read."""
    for second in range(256):
        whole = gzip.compress(bytes(1 << 16), mtime=0x6B090B00 + second)
        assert not _is_mangled(whole)
        assert _is_mangled(whole.translate(None, b"\0\r\n")), second
