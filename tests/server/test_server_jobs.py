"""Jobs over HTTP on a real Orthanc: their routes, and what becomes of them when things die."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import StartOrthanc
from orthanc_server import OrthancFailed, OrthancServer, merged
from phantoms import ct_phantom
from server_audit import rows_of_jobs, survivors
from server_fixtures import derive, finished, job, npy, settings, submit, until


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    with OrthancServer(folder, settings(folder / "library", JobTimeout=60)) as orthanc:
        yield orthanc


@pytest.fixture
def ct(server: OrthancServer) -> str:
    server.delete_all()
    return server.upload(ct_phantom(slices=6))


def nap(seconds: float) -> dict[str, Any]:
    return {"Pipeline": "plain", "Parameters": {"Seconds": seconds}}


def test_a_job_has_the_keys_of_orthancs_jobs(server: OrthancServer, ct: str) -> None:
    job = finished(server, submit(server, ct, Pipeline="plain", Priority=7))
    modify = server.json(f"/series/{ct}/modify", "POST", json={"Asynchronous": True})
    theirs = until_orthancs(server, modify["ID"])
    server.delete(f"/series/{theirs['Content'].get('ID', '')}")
    assert set(theirs) - {"EstimatedTimeOfArrival"} <= set(job)
    assert (job["State"], job["Progress"], job["Priority"]) == ("Success", 100, 7)
    assert (job["ErrorCode"], job["ErrorDescription"]) == (0, theirs["ErrorDescription"])
    for key in ("CreationTime", "CompletionTime", "Timestamp"):
        assert len(job[key]) == len(theirs[key]) and abs(float(job[key][9:]) - float(theirs[key][9:])) < 60
    assert job["Content"]["ParentSeries"] == ct and job["Content"]["Result"]["InstancesCount"] == 6


def until_orthancs(server: OrthancServer, job_id: str) -> Any:
    while (orthanc_job := server.json(f"/jobs/{job_id}"))["State"] not in ("Success", "Failure"):
        time.sleep(0.02)
    return orthanc_job


def test_lists_and_pages(server: OrthancServer, ct: str) -> None:
    mine = [submit(server, ct, **nap(0)) for _ in range(5)]
    for each in mine:
        finished(server, each)
    listed = server.json("/derived-series/jobs")
    assert listed[-5:] == mine
    assert server.json(f"/derived-series/jobs?since={len(listed) - 3}&limit=2") == mine[2:4]
    expanded = server.json(f"/derived-series/jobs?expand&since={len(listed) - 1}")
    assert [each["ID"] for each in expanded] == mine[4:]
    assert server.get("/derived-series/jobs?limit=x").status_code == 400
    assert server.get("/derived-series/jobs/unknown").status_code == 404


def test_progress_goes_up_by_what_is_done(server: OrthancServer) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=300, rows=128, columns=128, noise=0))
    mine = submit(server, ct, **nap(1))
    seen = [0]
    while (current := job(server, mine))["State"] not in ("Success", "Failure"):
        seen.append(current["Progress"])
        time.sleep(0.02)
    assert current["State"] == "Success" and current["Progress"] == 100
    assert seen == sorted(seen) and len(set(seen)) >= 3 and max(seen) < 100


def test_cancel_resubmit_delete(server: OrthancServer, ct: str) -> None:
    mine = submit(server, ct, **nap(120))
    until(server, mine, {"Running"})
    assert server.delete(f"/derived-series/jobs/{mine}").status_code == 409
    assert server.post(f"/derived-series/jobs/{mine}/cancel").status_code == 200
    job = finished(server, mine, 60)
    assert (job["State"], job["ErrorCode"]) == ("Failure", 37)
    assert server.post(f"/derived-series/jobs/{mine}/cancel").status_code == 409
    assert server.post(f"/derived-series/jobs/{mine}/resubmit").status_code == 200
    until(server, mine, {"Running"})
    server.post(f"/derived-series/jobs/{mine}/cancel")
    finished(server, mine, 60)
    assert server.delete(f"/derived-series/jobs/{mine}").status_code == 200
    assert server.get(f"/derived-series/jobs/{mine}").status_code == 404
    assert server.series_ids() == {ct}


def test_cancelling_while_instances_are_stored_leaves_none(server: OrthancServer) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=300, rows=128, columns=128, noise=0))
    for _ in range(3):
        mine = submit(server, ct, Pipeline="plain")
        end = time.monotonic() + 30
        while server.json("/statistics")["CountInstances"] < 330 and time.monotonic() < end:
            time.sleep(0.005)
        server.post(f"/derived-series/jobs/{mine}/cancel")
        if finished(server, mine)["State"] == "Success":
            server.delete(job(server, mine)["Content"]["Result"]["Path"])  # it was quicker
        time.sleep(2.5)  # what Orthanc still had in hand is removed within two seconds, or later where all is busy
        end = time.monotonic() + 20
        while (count := server.json("/statistics")["CountInstances"]) != 300 and time.monotonic() < end:
            time.sleep(0.05)
        assert count == 300


def test_async_with_the_image_route(server: OrthancServer, ct: str) -> None:
    image = npy(np.zeros((6, 32, 24), np.int16))
    answer = server.json(f"/series/{ct}/derive/ct/numpy", "POST", data=image, headers={"Prefer": "respond-async"})
    assert finished(server, answer["ID"])["State"] == "Success"


def test_urgent_jobs_go_first(server: OrthancServer, ct: str) -> None:
    first = [
        submit(server, ct, **nap(seconds)) for seconds in (1, 3)
    ]  # one worker is free first, and takes them in turn
    late = submit(server, ct, **nap(0), Priority=-1)
    urgent = submit(server, ct, **nap(0), Priority=10)
    times = {each: finished(server, each)["CompletionTime"] for each in (*first, late, urgent)}
    assert times[urgent] < times[late]


def test_a_request_that_waits_too_long_is_answered_with_its_job(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    server = start_orthanc(settings(tmp_path / "library", SynchronousTimeout=0.5))
    ct = server.upload(ct_phantom(slices=3))
    answer = server.post(f"/series/{ct}/derive", json=nap(2))
    assert answer.status_code == 202
    assert finished(server, answer.json()["ID"])["State"] == "Success"


def test_a_full_queue_is_busy(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    server = start_orthanc(settings(tmp_path / "library", QueueSize=5, Workers=1))
    ct = server.upload(ct_phantom(slices=3))
    jobs = [submit(server, ct, **nap(seconds)) for seconds in (2, 0, 0, 0, 0)]  # the first one holds up the others
    answer = server.post(f"/series/{ct}/derive", json={**nap(0), "Asynchronous": True})
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert "QueueSize" in answer.json()["Remedy"]
    for each in jobs:
        assert finished(server, each)["State"] == "Success"
    assert derive(server, ct, **nap(0))["InstancesCount"] == 3


@pytest.mark.parametrize("threads", [2, 4])
def test_few_http_threads_starve_nobody(start_orthanc: StartOrthanc, tmp_path: Path, threads: int) -> None:
    """A waiting request holds a thread that the workers need, too: as many wait as can be, the others are told."""
    server = start_orthanc(merged(settings(tmp_path / "library"), {"HttpThreadsCount": threads}))
    ct = server.upload(ct_phantom(slices=10))
    server.session.close()

    def one(_: int) -> int:
        with concurrent.futures.ThreadPoolExecutor(1):
            return server.post(f"/series/{ct}/derive", json=nap(0.2), headers={"Connection": "close"}).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(8)))
    assert set(statuses) <= {200, 503} and 200 in statuses


def test_memory_is_bounded(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    bounds = {"bad": {"MemoryMB": 1500}}
    server = start_orthanc(settings(tmp_path / "library", Pipelines=bounds))
    ct = server.upload(ct_phantom(slices=3))
    answer = server.post(f"/series/{ct}/derive", json={"Pipeline": "bad", "Parameters": {"How": "memory"}})
    assert answer.status_code == 500 and "memory" in answer.json()["Message"]
    assert derive(server, ct, Pipeline="plain")["InstancesCount"] == 3


def test_orthanc_stops_soon_with_jobs_running_and_goes_on_later(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    server = start_orthanc(settings(tmp_path / "library"))
    ct = server.upload(ct_phantom(slices=3))
    jobs = [submit(server, ct, **nap(3)) for _ in range(4)]
    deaf = submit(server, ct, Pipeline="bad", Parameters={"How": "deaf"}, Priority=9)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.post, f"/series/{ct}/derive", json=nap(20))
        until(server, jobs[0], {"Running"})
        time.sleep(0.3)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5
        assert not server.survivors
        assert waiting.result(5).status_code == 503
    server.start()
    server.post(f"/derived-series/jobs/{deaf}/cancel")
    for each in jobs:
        assert finished(server, each)["State"] == "Success"


def test_a_killed_orthanc_finishes_what_it_accepted(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    server = start_orthanc(settings(tmp_path / "library"))
    ct = server.upload(ct_phantom(slices=30))
    image = npy(np.ones((30, 32, 24), np.int16))
    jobs = [submit(server, ct, **nap(0.2)) for _ in range(3)]
    answer = server.json(f"/series/{ct}/derive/ct/numpy", "POST", data=image, headers={"Prefer": "respond-async"})
    jobs.append(answer["ID"])
    time.sleep(0.3)
    server.kill()
    assert survivors(server.children(), 20) == [], "no worker outlives Orthanc"
    server.start()
    results = [finished(server, each) for each in jobs]
    assert {result["State"] for result in results} == {"Success"}
    derived = {result["Content"]["Result"]["ID"] for result in results}
    assert server.series_ids() == {ct} | derived and len(derived) == 4
    assert server.json("/statistics")["CountInstances"] == 150


def test_authentication(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"me": "secret"}}
    server = start_orthanc(merged(settings(tmp_path / "library"), users))
    ct = server.upload(ct_phantom(slices=3))
    derived = derive(server, ct, Pipeline="plain")
    derive(server, ct, Pipeline="bad", Parameters={"How": ""})
    server.post(f"/series/{ct}/derive", json={"Pipeline": "bad", "Parameters": {"How": "raise"}})
    stranger = {"auth": ("me", "wrong")}
    for method, route in [
        ("POST", f"/series/{ct}/derive"),
        ("POST", f"/series/{ct}/derive/ct/numpy"),
        ("GET", "/derived-series/status"),
        ("GET", f"/derived-series/jobs/{derived['JobID']}"),
        ("POST", f"/derived-series/jobs/{derived['JobID']}/cancel"),
    ]:
        assert server.request(method, route, **stranger).status_code == 401
    assert len(server.series_ids()) == 3
    token_in_use = _worker_token(server)
    server.stop()
    for path in server.folder.rglob("*"):
        if path.is_file() and path.name != "orthanc.json":
            assert token_in_use.encode() not in path.read_bytes(), path


def _worker_token(server: OrthancServer) -> str:
    """The plugin's token, out of a request of a worker to a port of ours."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    seen: list[str] = []

    class Seeing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Seeing)
    thread = threading.Thread(target=listener.serve_forever, args=[0.01])
    thread.start()
    try:
        ct = next(iter(server.series_ids()))
        section = {**server.changes["DerivedSeries"], "OrthancUrl": f"http://127.0.0.1:{listener.server_port}"}
        server.restart({**server.changes, "DerivedSeries": section})
        server.post(f"/series/{ct}/derive", json={"Pipeline": "plain"})
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
    assert seen and len(seen[0]) > 20
    return seen[0]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"Worker": 2}, ["unknown key 'Worker'", "Workers"]),
        ({"Workers": "2"}, ["Workers: a whole number is expected, not string"]),
        ({"Workers": 0}, ["Workers", "a number of at least 1 is expected, not number 0"]),
        ({"OrthancUrl": "ftp://x"}, ["OrthancUrl"]),
        ({"Pipelines": {"x": {"Timeouts": 1}}}, ["Pipelines.x.Timeouts"]),
        ({"BlueprintFolders": "blueprints"}, ["BlueprintFolders"]),
        ({"JobsFolder": "/proc/nowhere"}, ["JobsFolder", "/proc/nowhere"]),
    ],
)
def test_a_wrong_configuration_is_named_and_orthanc_does_not_start(
    start_orthanc: StartOrthanc, section: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(OrthancFailed) as caught:
        start_orthanc({"DerivedSeries": section})
    for word in words:
        assert word in caught.value.log


@pytest.mark.sqlite
def test_storing_fails_while_the_disk_is_full(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """Orthanc refuses instances: the job waits for its next attempt, and succeeds when there is room."""
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        keys = settings(tmp_path / "library", JobsFolder=str(tmp_path / "jobs"), RetryPause=0.2)
        server = start_orthanc(merged(keys, {"StorageDirectory": str(small), "IndexDirectory": str(tmp_path)}))
        ct = server.upload(ct_phantom(slices=20, rows=256, columns=256))
        mine = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 0.1})
        # 2.6 MB of 6 are taken; the rest goes to a file that leaves room for half of the series
        with (small / "filler").open("wb") as file:
            file.write(bytes(2_200_000))
        job = until(server, mine, {"Retry", "Failure", "Success"})
        os.unlink(small / "filler")
        assert job["State"] == "Retry", job
        job = finished(server, mine)
        assert job["State"] == "Success", job
        assert server.json("/statistics")["CountInstances"] == 40
        server.stop()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_the_accepted_request_is_on_disk_before_the_answer(server: OrthancServer, ct: str) -> None:
    mine = submit(server, ct, **nap(0.5))
    ((request,),) = rows_of_jobs(server, f"SELECT request FROM jobs WHERE id = '{mine}'")
    assert json.loads(request)["Pipeline"] == "plain"
    finished(server, mine)


def test_a_worker_killed_while_idle_is_replaced(server: OrthancServer, ct: str) -> None:
    derive(server, ct, Pipeline="plain")
    for pid in server.children():
        if b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    assert derive(server, ct, Pipeline="plain")["InstancesCount"] == 6
