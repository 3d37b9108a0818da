"""Fetching, storing, verifying and removing against a real Orthanc, and against a server that lies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, generate_uid

from conftest import StartOrthanc
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.readback import (
    Sample,
    describe_series,
    find_series,
    instances_held,
    remove_series,
    verify,
)
from derived_series.dicomweb.stow import BatchLimits, Part10, store
from derived_series.dicomweb.wado import fetch_series
from derived_series.errors import NotFound, StorageError
from orthanc_server import OrthancServer
from phantoms import ct_phantom, decoded, encode


@pytest.fixture
def client(empty_orthanc: OrthancServer) -> Iterator[Client]:
    with Client(Connection(empty_orthanc.url)) as dicomweb:
        yield dicomweb


def part10(datasets: list[Dataset]) -> list[Part10]:
    return [Part10(str(dataset.SOPInstanceUID), encode(dataset)) for dataset in datasets]


def sample_of(part: Part10) -> Sample:
    return Sample.of(part.sop_instance_uid, part.data, lambda: part.data)


def uids_of(datasets: list[Dataset]) -> tuple[str, str]:
    return str(datasets[0].StudyInstanceUID), str(datasets[0].SeriesInstanceUID)


@pytest.mark.parametrize(
    "limits",
    [BatchLimits(), BatchLimits(instances=1, connections=1), BatchLimits(instances=7, size=5000, connections=3)],
)
def test_what_is_stored_is_what_is_fetched(client: Client, limits: BatchLimits) -> None:
    datasets = ct_phantom(slices=40)
    study, series = uids_of(datasets)
    parts = part10(datasets)
    counts: list[int] = []
    assert store(client, study, iter(parts), limits=limits, stored=counts.append) == 40
    assert counts == sorted(counts) and counts[-1] == 40
    samples = tuple(sample_of(part) for part in parts[::13])
    orthanc_id = verify(client, series, [part.sop_instance_uid for part in parts], samples)
    assert describe_series(client, orthanc_id).instances == 40
    fetched = list(fetch_series(client, study, series, expected=40))
    assert sorted(fetched) == sorted(part.data for part in parts)  # type: ignore[type-var]


def test_instances_are_sent_while_later_ones_are_made(client: Client) -> None:
    """Nothing is held of what has been sent: never more than the requests on their way."""
    datasets = ct_phantom(slices=60)
    study, _ = uids_of(datasets)
    produced, confirmed, ahead = 0, 0, []

    def instances() -> Iterator[Part10]:
        nonlocal produced
        for part in part10(datasets):
            produced += 1
            ahead.append(produced - confirmed)
            yield part

    def stored(count: int) -> None:
        nonlocal confirmed
        confirmed = count

    store(client, study, instances(), limits=BatchLimits(instances=2, connections=2), stored=stored)
    assert max(ahead) <= 2 * (2 + 2)


def test_a_series_is_fetched_as_it_is_stored(empty_orthanc: OrthancServer, client: Client) -> None:
    from phantoms import compressed

    datasets = compressed(ct_phantom(slices=3), JPEGLSLossless)
    empty_orthanc.upload(datasets)
    fetched = [decoded(part) for part in fetch_series(client, *uids_of(datasets))]
    assert {dataset.file_meta.TransferSyntaxUID for dataset in fetched} == {JPEGLSLossless}


def test_an_unknown_series_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound):
        list(fetch_series(client, "1.2.3", "1.2.4"))
    with pytest.raises(NotFound, match="no series"):
        describe_series(client, "0123abcd-" * 4 + "0123abcd")
    assert find_series(client, "1.2.3.4.5") == ()


def test_missing_instances_are_noticed(empty_orthanc: OrthancServer, client: Client) -> None:
    datasets = ct_phantom(slices=3)
    empty_orthanc.upload(datasets)
    with pytest.raises(StorageError, match="3 instances where the series has 4") as caught:
        list(fetch_series(client, *uids_of(datasets), expected=4))
    assert caught.value.transient


def test_an_instance_of_another_study_is_named_with_its_reason(client: Client) -> None:
    datasets = ct_phantom(slices=3)
    datasets[1].StudyInstanceUID = generate_uid()
    with pytest.raises(StorageError, match="1 of 3 instances were not stored") as caught:
        store(client, uids_of(datasets)[0], part10(datasets))
    assert str(datasets[1].SOPInstanceUID) in str(caught.value) and "0110H" in str(caught.value)
    assert not caught.value.transient


def test_25_a_corrupt_instance_is_in_no_list_and_is_noticed(client: Client) -> None:
    """The server stores the good ones and answers without a word of the other."""
    datasets = ct_phantom(slices=3)
    parts = part10(datasets)
    parts[1] = Part10(parts[1].sop_instance_uid, parts[1].data[:300])
    with pytest.raises(StorageError, match="1 of 3") as caught:
        store(client, uids_of(datasets)[0], parts)
    assert parts[1].sop_instance_uid in str(caught.value)


def test_25_an_empty_series_is_nothing_stored(client: Client) -> None:
    assert store(client, "1.2.3", []) == 0
    with pytest.raises(StorageError, match="0 series"):
        verify(client, "1.2.3.4", ["1.2.3.4.5"], ())


def test_verification_names_what_is_missing_and_what_is_foreign(empty_orthanc: OrthancServer, client: Client) -> None:
    datasets = ct_phantom(slices=3)
    empty_orthanc.upload(datasets)
    uids = [str(dataset.SOPInstanceUID) for dataset in datasets]
    series = uids_of(datasets)[1]
    with pytest.raises(StorageError, match="lacks 1 of 4 .* 0 of others: 1.9.9"):
        verify(client, series, [*uids, "1.9.9"], ())
    with pytest.raises(StorageError, match="lacks 0 of 2 .* 1 of others"):
        verify(client, series, uids[:2], ())


def test_29_old_pixels_under_the_same_uid_are_noticed(empty_orthanc: OrthancServer, client: Client) -> None:
    """Orthanc keeps the old instance and answers 200."""
    datasets = ct_phantom(slices=2)
    empty_orthanc.upload(datasets)
    for dataset in datasets:
        dataset.PixelData = bytes(len(dataset.PixelData))
    parts = part10(datasets)
    assert store(client, uids_of(datasets)[0], parts) == 2
    samples = (sample_of(parts[0]),)
    with pytest.raises(StorageError, match="not those that were sent"):
        verify(client, uids_of(datasets)[1], [part.sop_instance_uid for part in parts], samples)


def test_transcoding_when_received_is_not_a_difference(start_orthanc: StartOrthanc) -> None:
    server = start_orthanc({"IngestTranscoding": str(JPEGLSLossless)})
    datasets = ct_phantom(slices=2)
    parts = part10(datasets)
    with Client(Connection(server.url)) as client:
        store(client, uids_of(datasets)[0], parts)
        samples = tuple(sample_of(part) for part in parts)
        verify(client, uids_of(datasets)[1], [part.sop_instance_uid for part in parts], samples)


def test_removing(empty_orthanc: OrthancServer, client: Client) -> None:
    datasets = ct_phantom(slices=3, series="a", series_number=7)
    other = empty_orthanc.upload(ct_phantom(slices=2, series="b", series_number=9))
    orthanc_id = empty_orthanc.upload(datasets)
    assert len(instances_held(client, orthanc_id)) == 3
    assert remove_series(client, uids_of(datasets)[1]) == 1
    assert remove_series(client, uids_of(datasets)[1]) == 0
    assert instances_held(client, orthanc_id) == {}
    assert empty_orthanc.series_ids() == {other}


def test_the_authorization_is_told_and_never_shown(start_orthanc: StartOrthanc) -> None:
    server = start_orthanc({"AuthenticationEnabled": True, "RegisteredUsers": {"me": "secret"}})
    good = Connection(server.url, authorization="Basic bWU6c2VjcmV0")
    assert "bWU6c2VjcmV0" not in repr(good)
    with Client(good) as client:
        assert find_series(client, "1.2.3") == ()
    with Client(Connection(server.url, authorization="Basic AAAA")) as client:
        with pytest.raises(StorageError, match="401") as caught:
            find_series(client, "1.2.3")
    assert not caught.value.transient and "AAAA" not in str(caught.value)


def test_a_server_that_is_not_there_is_transient() -> None:
    with Client(Connection("http://127.0.0.1:9")) as client, pytest.raises(StorageError) as caught:
        client.get_json("/system")
    assert caught.value.transient


class Lying(BaseHTTPRequestHandler):
    """Answers a STOW with whatever its server was told to."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


def stored(*uids: str) -> bytes:
    items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()


def failed(uid: str, reason: int) -> bytes:
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "match", "transient"),
    [
        (200, b"", "not DICOM JSON", False),
        (200, b"[]", "not DICOM JSON", False),
        (200, b"{}", "2 of 2 instances", True),
        (200, stored("1.2"), "1 of 2 instances .* 1.3: in no list", True),
        (200, stored("1.9", "1.8"), "2 of 2 instances", True),
        (400, stored("1.2"), "1 of 2 instances .* 1.3: in no list", False),
        (200, failed("1.2", 0x0110), "2 of 2 instances .* 1.2: 0110H", False),
        (202, failed("1.2", 0xA700), "A700H .out of resources", True),
        (409, stored("1.2", "1.3"), "409", False),
        (415, b"what?", "415", False),
        (401, b"", "401", False),
        (500, b"", "500", True),
        (503, b"", "503", True),
        (507, b"", "507", True),
        (501, b"", "501", False),
    ],
)
def test_25_an_answer_is_read_to_the_last_instance(status: int, body: bytes, match: str, transient: bool) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lying)
    server.answer = (status, body)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        with Client(Connection(f"http://127.0.0.1:{server.server_port}")) as client:
            with pytest.raises(StorageError, match=match) as caught:
                store(client, "1", [Part10("1.2", b"x"), Part10("1.3", b"y")])
        assert caught.value.transient is transient
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Hasty(BaseHTTPRequestHandler):
    """Closes the first connection, unannounced, when its second request comes."""

    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        methods: list[str] = self.server.methods  # type: ignore[attr-defined]
        self.raw_requestline = self.rfile.readline()
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        methods.append(self.command)
        self.close_connection = len(methods) == 2
        if not self.close_connection:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize(("method", "methods"), [("GET", ["GET"] * 3), ("POST", ["GET", "POST"])])
def test_a_connection_closed_as_it_is_used_again(method: str, methods: list[str]) -> None:
    """A request that may be repeated is; another is an error that says it may pass."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hasty)
    server.methods = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        with Client(Connection(f"http://127.0.0.1:{server.server_port}")) as client:
            assert client.get_json("/system") == {}
            if method == "GET":
                assert client.get_json("/system") == {}
            else:
                with pytest.raises(StorageError, match="no answer") as caught:
                    client.post_json("/tools/find", "{}")
                assert caught.value.transient
        assert server.methods == methods  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Unwilling(BaseHTTPRequestHandler):
    """Answers 503 to the first request, and to others nothing at all."""

    def do_GET(self) -> None:
        paths: list[str] = self.server.paths  # type: ignore[attr-defined]
        paths.append(self.path)
        if len(paths) == 1:
            self.send_response(503)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.server.goes_on.wait(30)  # type: ignore[attr-defined]

    def log_message(self, *arguments: Any) -> None:
        pass


def test_neither_a_status_nor_a_time_out_is_asked_for_twice() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Unwilling)
    server.paths, server.goes_on = [], threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        with Client(Connection(f"http://127.0.0.1:{server.server_port}", timeout=0.3)) as client:
            with pytest.raises(StorageError, match="503") as caught:
                client.get_json("/busy")
            assert caught.value.transient
            with pytest.raises(StorageError, match="no answer") as caught:
                client.get_json("/silent")
            assert caught.value.transient
        assert server.paths == ["/busy", "/silent"]  # type: ignore[attr-defined]
    finally:
        server.goes_on.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()
