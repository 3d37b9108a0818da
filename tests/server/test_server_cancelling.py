"""Cancelling at every stage of storing: what is cancelled was never there as a whole series, what is complete stays."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from conftest import StartOrthanc
from derived_series.identifiers import series_uids_of
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from proxied_orthanc import proxy, running, server
from server_fixtures import derive, finished, job, settings, submit
from slow_proxy import SlowProxy
from waiting import soon

__all__ = ["proxy", "running", "server"]

SEVERAL = '''
"""Two series of one job."""
from derived_series import derivation
from derived_series.pipelines import Output, Pipeline


class Several(Pipeline):
    name = "several"
    outputs = {"first": Output(), "second": Output()}

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Nothing", "Smoothing")

    def process(self, container):
        return {name: container["parent"].voxels() for name in self.outputs}
'''


@pytest.fixture(scope="module")
def pipelines() -> dict[str, str]:
    return {"several.py": SEVERAL}


def instances_of(server: OrthancServer, job_id: str) -> int:
    query = {"Level": "Instance", "Query": {"SeriesInstanceUID": "\\".join(series_uids_of(job_id))}}
    return len(server.json("/tools/find", "POST", json=query))


def cancel(server: OrthancServer, job_id: str) -> requests.Response:
    return server.post(f"/derived-series/jobs/{job_id}/cancel")


def parts_of(body: bytes) -> int:
    """The number of instances in a STOW request."""
    return body.count(b"DICM")


def held_last(server: OrthancServer, proxy: SlowProxy, **request: Any) -> str:
    """A job whose last instances wait at the proxy, while Orthanc has the others."""
    ct = server.upload(ct_phantom(slices=3))
    proxy.close()
    mine = submit(server, ct, **request)
    soon(lambda: len(proxy.waiting) == 1)
    first = proxy.waiting[0]
    first.goes_on.set()
    soon(lambda: len(proxy.waiting) == 1 and proxy.waiting[0] is not first)
    return mine


@pytest.mark.parametrize(("request_", "series"), [({"Pipeline": "plain"}, 1), ({"Pipeline": "several"}, 2)])
def test_the_last_instances_are_sent_when_all_others_are_there(
    server: OrthancServer, proxy: SlowProxy, request_: dict[str, Any], series: int
) -> None:
    mine = held_last(server, proxy, **request_)
    assert instances_of(server, mine) == 2 * series and parts_of(proxy.waiting[0].body) == series
    proxy.open()
    assert finished(server, mine)["State"] == "Success" and instances_of(server, mine) == 3 * series


def test_what_is_cancelled_before_its_last_instance_is_never_whole(server: OrthancServer, proxy: SlowProxy) -> None:
    ct = server.upload(ct_phantom(slices=3))
    proxy.close()
    mine = submit(server, ct, Pipeline="plain")
    soon(lambda: len(proxy.waiting) == 1)
    began = time.monotonic()
    assert cancel(server, mine).status_code == 200 and time.monotonic() - began < 4
    assert finished(server, mine)["State"] == "Failure"
    assert parts_of(proxy.waiting[0].body) == 2
    passed = proxy.passed
    proxy.open()
    soon(lambda: proxy.passed > passed)
    soon(lambda: server.series_ids() == {ct})


def test_a_cancellation_waits_for_the_last_instance(server: OrthancServer, proxy: SlowProxy) -> None:
    mine = held_last(server, proxy, Pipeline="plain")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(cancel, server, mine)
        time.sleep(0.5)
        assert not answer.done()
        proxy.open()
        refused = answer.result(30)
    assert refused.status_code == 409 and "is over" in refused.json()["Message"]
    assert finished(server, mine)["State"] == "Success" and instances_of(server, mine) == 3


def test_a_job_whose_last_instance_does_not_arrive_is_cancelled(server: OrthancServer, proxy: SlowProxy) -> None:
    mine = held_last(server, proxy, Pipeline="plain")
    assert cancel(server, mine).status_code == 200
    assert finished(server, mine)["Content"]["Error"]["Kind"] == "Cancelled"
    assert instances_of(server, mine) == 0
    passed, most = proxy.passed, 0
    proxy.open()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        most = max(most, instances_of(server, mine))
    assert proxy.passed == passed + 1 and most <= 1 and instances_of(server, mine) == 0


def test_a_complete_series_is_not_cancelled(server: OrthancServer, proxy: SlowProxy) -> None:
    """Orthanc has all of it, and the worker has no answer yet."""
    mine = held_last(server, proxy, Pipeline="plain")
    answered = threading.Event()

    def slowly(answer: bytes) -> bytes:
        answered.wait(30)
        return answer

    proxy.change_answer = slowly
    try:
        proxy.open()
        soon(lambda: instances_of(server, mine) == 3)
        refused = cancel(server, mine)
        assert refused.status_code == 409 and "is complete" in refused.json()["Message"], refused.text
        assert "wait for the end of the job" in refused.json()["Remedy"]
        assert instances_of(server, mine) == 3
    finally:
        answered.set()
        proxy.change_answer = bytes
    assert finished(server, mine)["State"] == "Success" and instances_of(server, mine) == 3


def test_a_job_is_cancelled_or_stored_and_nothing_between(server: OrthancServer, proxy: SlowProxy) -> None:
    """At all moments: the answer says which, and nothing that was cancelled was there as a whole."""
    ct = server.upload(ct_phantom(slices=8))
    began = time.monotonic()
    derive(server, ct, Pipeline="plain")
    seconds = time.monotonic() - began
    for part in range(6):
        mine = submit(server, ct, Pipeline="plain")
        most = 0
        end = time.monotonic() + seconds * part / 5
        while time.monotonic() < end:
            most = max(most, instances_of(server, mine))
        answer = cancel(server, mine)
        state = finished(server, mine)["State"]
        assert state == {200: "Failure", 409: "Success"}[answer.status_code], answer.text
        if answer.status_code == 200:
            assert most < 8 and instances_of(server, mine) == 0
        else:
            assert instances_of(server, mine) == 8


def test_who_cancels_a_delivery_keeps_the_series(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:  # takes connections, and answers nothing
        changes = settings(tmp_path / "library")
        changes["DicomModalities"] = {"deaf": ["DEAF", "127.0.0.1", deaf.getsockname()[1]]}
        changes["DicomScuTimeout"] = 60
        server = start_orthanc(changes)
        ct = server.upload(ct_phantom(slices=3))
        mine = submit(server, ct, Pipeline="plain", Destinations=["deaf"])
        soon(lambda: job(server, mine)["Content"].get("Result"))
        began = time.monotonic()
        assert cancel(server, mine).status_code == 200 and time.monotonic() - began < 4
        done = finished(server, mine)
    assert done["State"] == "Failure" and done["Content"]["Error"]["Kind"] == "Cancelled"
    assert done["Content"]["Result"]["Destinations"] == {"deaf": "Cancelled"}
    assert len(server.download(done["Content"]["Result"]["ID"])) == 3
