"""What a job stores is compared with what it made, whatever the way to Orthanc does to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orthanc_server import OrthancServer, free_port
from phantoms import ct_phantom
from server_fixtures import derive, finished, settings, submit
from slow_proxy import SlowProxy, slow_proxy

SLICES = 12
FIRST, MIDDLE, LAST = 0, SLICES // 2, SLICES - 1


@pytest.fixture(scope="module")
def way() -> Iterator[SlowProxy]:
    with slow_proxy(free_port()) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def running(
    orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory, way: SlowProxy
) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    with OrthancServer(folder, settings(folder / "library", OrthancUrl=way.url)) as server:
        way.server = server
        yield server


@pytest.fixture
def server(running: OrthancServer, way: SlowProxy) -> OrthancServer:
    running.delete_all()
    way.change_request = way.change_answer = bytes
    return running


@pytest.fixture
def ct(server: OrthancServer) -> str:
    return server.upload(ct_phantom(slices=SLICES))


def parts(body: bytes) -> tuple[bytes, list[bytes]]:
    """The delimiter of a multipart body, and what is between two of them: all instances but the last, or that one."""
    delimiter = body.lstrip(b"\r\n").split(b"\r\n", 1)[0]
    _, *between, _ = body.split(delimiter)
    assert len(between) in (LAST, 1)
    return delimiter, between


def refused(server: OrthancServer, ct: str) -> str:
    """The error of a derivation, of which nothing is left."""
    answer = server.post(f"/series/{ct}/derive", json={"Pipeline": "plain"})
    assert answer.status_code >= 400, answer.text
    assert server.series_ids() == {ct}
    return str(answer.json()["Message"])


@pytest.mark.parametrize("index", [FIRST, MIDDLE, LAST])
def test_pixels_that_changed_on_the_way_are_noticed(server: OrthancServer, ct: str, way: SlowProxy, index: int) -> None:
    def change(body: bytes) -> bytes:
        delimiter, between = parts(body)
        if (len(between) == 1) != (index == LAST):
            return body
        part = bytearray(between[index % LAST])
        part[-5] ^= 1  # before the line end: the pixels are the last element
        between[index % LAST] = bytes(part)
        return delimiter + delimiter.join(between) + delimiter + b"--\r\n"

    way.change_request = change
    assert "are not those that were sent" in refused(server, ct)


def test_an_instance_that_is_confirmed_and_not_there_is_noticed(server: OrthancServer, ct: str, way: SlowProxy) -> None:
    """Orthanc never gets the last but one instance; the answer confirms them all."""
    sent: list[str] = []

    def drop(body: bytes) -> bytes:
        delimiter, between = parts(body)
        if len(between) == 1:
            return body
        sent.extend(map(sop_instance_uid, between))
        return delimiter + delimiter.join(between[:-1]) + delimiter + b"--\r\n"

    def confirm(body: bytes) -> bytes:
        if len(json.loads(body)["00081199"]["Value"]) == 1:
            return body
        assert len(json.loads(body)["00081199"]["Value"]) == SLICES - 2
        items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in sent]
        return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()

    way.change_request, way.change_answer = drop, confirm
    assert "lacks 1 of 12 instances" in refused(server, ct)
    assert len(sent) == LAST


def sop_instance_uid(part: bytes) -> str:
    """The MediaStorageSOPInstanceUID (0002,0003) in a part's file meta information."""
    _, _, value = part.partition(b"\x02\x00\x03\x00UI")
    length = int.from_bytes(value[:2], "little")
    return value[2 : 2 + length].decode().rstrip("\0")


def test_an_instance_that_is_listed_as_stored_and_as_failed_is_not_stored(
    server: OrthancServer, ct: str, way: SlowProxy
) -> None:
    def fail_too(body: bytes) -> bytes:
        answer = json.loads(body)
        item = answer["00081199"]["Value"][3]
        reason = {"00081197": {"vr": "US", "Value": [0xA900]}}
        answer["00081198"] = {"vr": "SQ", "Value": [{**item, **reason}]}
        return json.dumps(answer).encode()

    way.change_answer = fail_too
    message = refused(server, ct)
    assert "1 of 11 instances were not stored" in message and "A900H" in message


def test_a_series_that_is_accepted_while_its_replacement_is_made_stays(server: OrthancServer, ct: str) -> None:
    first = derive(server, ct, Pipeline="plain")
    job = submit(server, ct, Pipeline="plain", IfExists="Replace", Parameters={"Seconds": 2.0})
    server.json(f"{first['Path']}/review", "POST", json={"Verdict": "Accept", "User": "Eva"})
    result = finished(server, job)["Content"]["Result"]
    assert server.series_ids() == {ct, first["ID"], result["ID"]}
    assert any("it was accepted" in warning for warning in result["Warnings"])


def test_orthancs_own_process_loads_no_numpy(server: OrthancServer, ct: str) -> None:
    """Each of its libraries that a process has loaded is in the list of what is mapped into its memory."""
    derived = derive(server, ct, Pipeline="plain")
    paths = ["provenance", "review", "sources", "manifest", "pipelines", "jobs?expand"]
    for path in [*(f"{derived['Path']}/{path}" for path in paths), "/derived-series/status", "/derived-series/rules"]:
        assert server.get(path).status_code == 200, path
    server.json(f"/series/{ct}/rules/simulate", "POST", json={})
    server.json(f"{derived['Path']}/review", "POST", json={"Verdict": "Accept", "User": "Eva"})
    libraries = {line.split()[-1] for line in Path(f"/proc/{server.pid}/maps").read_text().splitlines()}
    assert any("pydantic" in library for library in libraries)  # what is loaded is seen
    assert [library for library in libraries if "numpy" in library] == []
