"""Workers of another machine, by dask: a real scheduler, real workers and a real Orthanc that asks who asks.

They are ended, frozen and cut off for real; a proxy stands between them and Orthanc, so that what they say is known.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from building import real
from dask_cluster import Cluster, children
from derived_series.dicomweb.client import Connection
from derived_series.dicomweb.multipart import content_type, make_body, new_boundary
from derived_series.identifiers import series_uids_of
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.remote.attempts import HEADER
from derived_series.jobs.work.entry import derive as make_here
from orthanc_server import REPOSITORY, OrthancServer, free_port
from phantoms import ct_phantom, encode
from recording_proxy import RecordingProxy
from server_fixtures import finished, npy, submit, until

#: What waits long for somebody to be missed.
LONG = pytest.mark.skipif("MACHINES_JOBS" not in os.environ, reason="takes long (make test-machines runs it)")

PIPELINES = '''
"""Pipelines of the box."""
import ctypes
import os
import time
from pathlib import Path

from _helper_of_the_box import PLUS

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    Seconds: float = 0.0
    How: str = ""
    Mark: str = ""


class Boxed(Pipeline):
    """The parent's values and a little more, after a while."""

    environment = "gpu"
    parameters = Settings

    def prepare(self):
        self.model = PLUS

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("plus", "PixelByPixelAddition")

    def process(self, container):
        if container.parameters.Mark:
            with open(container.parameters.Mark, "a") as file:
                file.write(f"{os.getpid()}\\n")
        if container.parameters.How == "segfault":
            ctypes.string_at(0)
        if container.parameters.How == "greedy":
            bytearray(4 << 30)
        time.sleep(container.parameters.Seconds)
        return container["parent"].voxels() + self.model


class Far(Boxed):
    """For what no machine has."""

    environment = "far"
'''

WORKER, ANNA = ("worker", "of the box"), ("anna", "one")
LOST_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Site:
    """Orthanc, the cluster, and the proxy by which workers reach Orthanc."""

    server: OrthancServer
    cluster: Cluster
    proxy: RecordingProxy
    series: str
    folder: Path

    def status(self) -> Any:
        return self.server.json("/derived-series/status")["Environments"]["gpu"]

    def workers(self) -> dict[str, Any]:
        return {each["Worker"]: each for each in self.status()["Processes"] if each["Problem"] is None}

    def is_idle(self) -> bool:
        return [each["Idle"] for each in self.workers().values()] == [True, True]

    def eventually(self, holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what}\n{self.server.log()[-3000:]}\n{self.cluster.logs()[-3000:]}"
            time.sleep(0.05)

    def submit(self, **parameters: Any) -> str:
        return submit(self.server, self.series, Pipeline="boxed", Parameters=parameters)

    def slow(self, seconds: float) -> tuple[str, Path]:
        """A job that sleeps, and the file that it writes to when its code begins."""
        mark = self.folder / f"{time.monotonic_ns()}.mark"
        return self.submit(Seconds=seconds, Mark=str(mark)), mark

    def of_job(self, job: str) -> list[str]:
        """The series that Orthanc holds under the UIDs of a job."""
        uids = "\\".join(series_uids_of(job))
        query = {"Level": "Series", "Query": {"SeriesInstanceUID": uids}}
        return list(self.server.json("/tools/find", "POST", json=query))

    def left_of(self, job: str) -> list[Path]:
        """The files of a job on the workers' disks."""
        return list(self.cluster.folder.glob(f"scratch-*/jobs-*/derived-series-{job}*"))

    def whole(self, job: str) -> Any:
        return self.server.json(f"/series/{self.series}/jobs/{job}")


@pytest.fixture(scope="module")
def site(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("remote")
    library = folder / "library"
    library.mkdir()
    (library / "boxed.py").write_text(PIPELINES)
    (library / "_helper_of_the_box.py").write_text("PLUS = 5\n")
    with Cluster(folder / "cluster") as cluster, RecordingProxy(free_port()) as proxy:
        cluster.start_scheduler()
        bounds = {"Workers": 2, "MemoryMB": 1500, "LostAfterSeconds": LOST_SECONDS}
        gpu = cluster.environment(Resources={"GPU": 1}, OrthancUrl=proxy.url, **bounds)
        section = {
            "Workers": 1,
            "BlueprintFolders": [str(REPOSITORY / "blueprints"), str(library)],
            "Environments": {"gpu": gpu, "far": cluster.environment(Resources={"FPGA": 1}, OrthancUrl=proxy.url)},
        }
        keys = {"AuthenticationEnabled": True, "RegisteredUsers": dict([ANNA, WORKER]), "DerivedSeries": section}
        storage = folder / "orthanc"
        storage.mkdir()
        with OrthancServer(storage, keys) as server:
            proxy.target = server
            series = server.upload(ct_phantom(slices=3, patient_id="SECRET-ID", patient_name="Doe^Jane"))
            yield Site(server, cluster, proxy, series, folder)


@pytest.fixture
def two(site: Site) -> Site:
    """Both workers are there, and idle."""
    for name in ("one", "two"):
        if name not in site.cluster.processes:
            site.cluster.start_worker(name)
    site.proxy.open()
    site.eventually(site.is_idle, "two workers are not there")
    return site


def test_a_job_waits_for_a_worker_and_says_so(site: Site) -> None:
    """The first test: no worker is there yet. Orthanc's own jobs do not wait with it."""
    site.eventually(lambda: site.status()["Problem"] is None, "the scheduler is not reached")
    job = site.submit()
    site.eventually(lambda: "Waiting" in site.whole(job)["Content"], "it does not say so")
    assert site.whole(job)["Content"]["Waiting"] == "waits for a worker with GPU: none is connected"
    assert site.status()["Waiting"] == "waits for a worker with GPU: none is connected"
    assert site.whole(job)["State"] == "Pending"
    local = submit(site.server, site.series, Pipeline="gaussian_smoothing", Parameters={"SigmaMm": 2})
    assert finished(site.server, local)["State"] == "Success"
    site.cluster.start_worker("one")
    assert finished(site.server, job)["State"] == "Success"
    assert "Waiting" not in site.whole(job)["Content"]


def test_the_same_bytes_as_a_worker_of_the_server(two: Site) -> None:
    server = two.server
    job = two.submit()
    end = finished(server, job)
    assert end["State"] == "Success", two.whole(job)
    derived = end["Content"]["Result"]["ID"]
    datasets = server.download(derived)
    parents = np.array([real(each) for each in server.download(two.series)])
    assert np.array_equal(np.array([real(each) for each in datasets]), parents + 5), "the helper has come along"
    elsewhere = fingerprints(server, derived)
    server.delete(f"/series/{derived}")
    created = datetime.strptime(end["CreationTime"], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC).astimezone()
    task = DeriveTask(
        job,
        1,
        two.series,
        {"Pipeline": "boxed", "Parameters": {"Seconds": 0.0, "How": "", "Mark": ""}},
        created.replace(tzinfo=None),
        Connection(server.url, authorization=requests.auth._basic_auth_str(*ANNA)),
        (str(REPOSITORY / "blueprints"), str(two.folder / "library")),
        series_number=int(datasets[0].SeriesNumber),
    )
    here = make_here(task)
    assert here.error is None and here.result is not None
    assert here.result["ID"] == derived and fingerprints(server, derived) == elsewhere


def fingerprints(server: OrthancServer, series: str) -> list[str]:
    """The digests of the files of a series."""
    instances = server.json(f"/series/{series}")["Instances"]
    return sorted(hashlib.sha256(server.get(f"/instances/{each}/file").content).hexdigest() for each in instances)


def test_an_uploaded_image_travels_in_parts(two: Site) -> None:
    """An image of two parts, asked for as a worker does."""
    image = npy(np.zeros((17 << 20) // 8, np.float64))
    headers = {"X-Derived-Series-Options": '{"Asynchronous": true}'}
    path = f"/series/{two.series}/derive/ct/numpy"
    job = two.server.json(path, "POST", data=image, headers=headers)["ID"]
    route = f"/series/{two.series}/jobs/{job}/image"
    finished(two.server, job)  # it fails for its shape: its image is kept
    parts = [two.server.get(f"{route}?offset={offset}").content for offset in (0, 16 << 20)]
    assert [len(part) for part in parts] == [16 << 20, len(image) - (16 << 20)]
    assert b"".join(parts) == image


def test_cancelling_ends_the_work_and_frees_the_worker(two: Site) -> None:
    job, mark = two.slow(600)
    two.eventually(mark.exists, "it does not begin")
    (child,) = map(int, mark.read_text().split())
    assert child in [each for name in ("one", "two") for each in children(two.cluster.pid(name))]
    two.server.post(f"/series/{two.series}/jobs/{job}/cancel")
    assert finished(two.server, job)["State"] == "Failure"
    two.eventually(lambda: not Path(f"/proc/{child}").exists(), "its process lives on")
    assert two.of_job(job) == []
    two.eventually(lambda: two.left_of(job) == [], "its files are still there")
    assert finished(two.server, two.submit())["State"] == "Success"


def test_a_time_out_begins_when_a_worker_has_the_job(two: Site) -> None:
    job = submit(two.server, two.series, Pipeline="boxed", Parameters={"Seconds": 600}, Timeout=2)
    end = finished(two.server, job)
    assert end["State"] == "Failure" and "longer than 2 s" in two.whole(job)["Content"]["Error"]["Message"]


def test_a_crash_of_the_code_is_the_jobs(two: Site) -> None:
    job = two.submit(How="segfault")
    end = finished(two.server, job)
    assert end["State"] == "Failure" and end["Content"]["Attempt"] == 1
    assert "crashed its process (SIGSEGV)" in two.whole(job)["Content"]["Error"]["Message"]


def test_memory_is_bounded_as_the_configuration_says(two: Site) -> None:
    job = two.submit(How="greedy")
    end = finished(two.server, job)
    assert end["State"] == "Failure" and end["Content"]["Attempt"] == 1
    assert "ran out of memory" in two.whole(job)["Content"]["Error"]["Message"]


@pytest.mark.parametrize("how", ["killed", pytest.param("frozen", marks=LONG), pytest.param("cut off", marks=LONG)])
def test_a_worker_that_is_lost_costs_no_job_and_doubles_none(two: Site, how: str) -> None:
    job, mark = two.slow(3)
    two.eventually(mark.exists, "it does not begin")
    (lost,) = (name for name, each in two.workers().items() if each["Job"] == job)
    (child,) = map(int, mark.read_text().split())
    if how == "killed":
        two.cluster.kill(lost)
    elif how == "frozen":
        two.cluster.signal(lost, signal.SIGSTOP)
    else:
        two.proxy.cut(two.cluster.pid(lost))
    end = finished(two.server, job)
    assert end["State"] == "Success" and end["Content"]["Attempt"] >= 2, "more where one cannot ask for its task"
    first, second = map(int, mark.read_text().split())
    assert (first, second != child) == (child, True), "the code ran twice, on two workers"
    if how == "frozen":
        two.cluster.signal(lost, signal.SIGCONT)
    two.proxy.open()
    if how == "killed":
        two.eventually(lambda: not Path(f"/proc/{child}").exists(), "the process of the lost attempt lives on")
    assert len(two.of_job(job)) == 1 and len(two.server.json(f"/series/{two.of_job(job)[0]}")["Instances"]) == 3


def test_what_an_attempt_sends_after_its_end_becomes_no_series(two: Site) -> None:
    """Its token was good, and is not any more: STOW-RS, deletions and our own routes."""
    job, mark = two.slow(600)
    two.eventually(mark.exists, "it does not begin")
    path = f"/series/{two.series}/jobs/{job}"
    token = two.proxy.tokens()[-1]
    study = two.server.json(f"/series/{two.series}/study")["MainDicomTags"]["StudyInstanceUID"]
    dataset = ct_phantom(slices=1)[0]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series_uids_of(job)[0]
    boundary = new_boundary()
    body = make_body([encode(dataset)], boundary)

    def send(secret: str) -> list[int]:
        mine = {HEADER: secret}
        headers = {**mine, "Content-Type": content_type(boundary), "Accept": "application/dicom+json"}
        report = {"Attempt": 1, "Progress": 50}
        sent = [("/dicom-web/studies/" + study, headers, body), (f"{path}/attempt", mine, b"{}")]
        sent += [(f"{path}/progress", mine, json.dumps(report).encode())]
        return [
            requests.post(two.server.url + to, data=data, headers=with_these, auth=WORKER, timeout=60).status_code
            for to, with_these, data in sent
        ]

    def delete(secret: str) -> int:
        url = f"{two.server.url}/series/{two.series}"
        return requests.delete(url, headers={HEADER: secret}, auth=WORKER, timeout=60).status_code

    assert [*send("nobody's"), delete("nobody's")] == [403, 410, 410, 403]
    assert send(token) == [200, 200, 200]
    assert len(two.of_job(job)) == 1
    two.server.post(f"{path}/cancel")
    finished(two.server, job)
    assert two.of_job(job) == [], "what it had stored is gone"
    assert [*send(token), delete(token)] == [403, 410, 410, 403]
    assert two.of_job(job) == [] and two.series in two.server.series_ids()
    outcome = {"Result": {"ID": two.series}, "Error": None, "Clean": True, "Sent": True}
    url = f"{two.server.url}{path}/outcome"
    late = requests.post(url, json=outcome, headers={HEADER: token}, auth=WORKER, timeout=60)
    assert late.status_code == 410 and two.whole(job)["State"] == "Failure"


def test_a_ticket_is_good_once(two: Site) -> None:
    """dask may run a task twice under one attempt."""
    job, mark = two.slow(600)
    two.eventually(mark.exists, "it does not begin")
    claim = [body for path, body in two.proxy.bodies() if path.endswith(f"{job}/claim")][-1]
    url = f"{two.server.url}/series/{two.series}/jobs/{job}/claim"
    again = requests.post(url, data=claim, auth=WORKER, timeout=60)
    assert again.status_code == 410 and "another worker has it" in again.json()["Message"]
    two.server.post(f"/series/{two.series}/jobs/{job}/cancel")
    finished(two.server, job)


@LONG
def test_the_scheduler_dies_and_comes_back(two: Site) -> None:
    jobs = [two.slow(1.0)[0] for _ in range(4)]
    until(two.server, jobs[0], {"Running", "Success"})
    two.cluster.kill("scheduler")
    two.eventually(lambda: two.status()["Problem"] is not None, "nobody notices")
    assert "is not reached" in str(two.status()["Waiting"])
    for name in ("one", "two"):  # they end without their scheduler, and a service starts them again
        two.cluster.processes.pop(name).wait(60)
    two.cluster.start_scheduler()
    for name in ("one", "two"):
        two.cluster.start_worker(name)
    assert [finished(two.server, job, 90)["State"] for job in jobs] == ["Success"] * 4
    assert [len(two.of_job(job)) for job in jobs] == [1] * 4


@LONG
def test_orthanc_dies_and_comes_back(two: Site) -> None:
    job, mark = two.slow(3)
    two.eventually(mark.exists, "it does not begin")
    (child,) = map(int, mark.read_text().split())
    port = two.server.config["HttpPort"]
    two.server.kill()
    two.server.changes["HttpPort"] = port
    two.server.restart()
    assert finished(two.server, job, 90)["State"] == "Success"
    assert len(two.of_job(job)) == 1
    two.eventually(lambda: not Path(f"/proc/{child}").exists(), "the process of the lost attempt lives on")


def test_workers_are_told_of_and_gpus_are_not_shared(two: Site) -> None:
    jobs = [two.slow(1.0) for _ in range(4)]
    most = 0
    while not all(two.whole(job)["State"] == "Success" for job, _ in jobs):
        running = [each["Job"] for each in two.workers().values() if each["Job"]]
        assert len(set(running)) == len(running)
        most = max(most, len(running))
        time.sleep(0.05)
    assert most == 2
    workers = two.workers()
    assert {each["Prepared"][0]["Pipeline"] for each in workers.values()} == {"boxed"}, "both have loaded it"
    assert {tuple(each["Resources"]) for each in workers.values()} == {("GPU",)}
    far = two.server.json("/derived-series/status")["Environments"]["far"]
    job = submit(two.server, two.series, Pipeline="far")
    expected = "waits for a worker with FPGA: none of those that are connected can take it"
    assert two.whole(job)["Content"]["Waiting"].startswith(expected) and far["Waiting"].startswith(expected)
    two.server.post(f"/series/{two.series}/jobs/{job}/cancel")


def test_what_is_sent_by_which_side(two: Site) -> None:
    """Orthanc and workers connect to the scheduler, workers to Orthanc; nobody connects to a worker."""
    assert finished(two.server, two.submit())["State"] == "Success"
    listening = {name: port for name, port in ports(two.cluster.logs())}
    assert listening, two.cluster.logs()
    connected = connections()
    assert [each for each in connected if each in listening.values()] == []
    assert two.cluster.port in connected


def ports(logs: str) -> list[tuple[str, int]]:
    """Where workers say that they listen."""
    return [(address, int(port)) for address, port in re.findall(r"Listening to:\s+(tls://[0-9.]+:(\d+))", logs)]


def connections() -> list[int]:
    """The ports of this machine to which somebody is connected."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(remote.partition(":")[2], 16) for _, _, remote, state, *_ in rows if state == "01"]


def test_no_secret_is_in_a_log_or_on_a_page_of_dask(two: Site) -> None:
    """The last test: of all that was said before. Tokens, tickets that were used, passwords, and whose images."""
    job, mark = two.slow(600)
    two.eventually(mark.exists, "it does not begin")
    pages = []
    for path in ("/info/main/workers.html", "/info/main/logs.html", "/json/identity.json", "/metrics", "/health"):
        answer = requests.get(f"http://127.0.0.1:{two.cluster.dashboard}{path}", timeout=60)
        pages.append(answer.text)
    pages.append(two.cluster.logs())
    pages.append(two.server.log())
    two.server.post(f"/series/{two.series}/jobs/{job}/cancel")
    tokens = two.proxy.tokens()
    assert len(tokens) > 10 and any("derived_series" in page for page in pages)
    tickets = [json.loads(body)["Ticket"] for path, body in two.proxy.bodies() if path.endswith("/claim")]
    basic = requests.auth._basic_auth_str(*WORKER).split()[1]
    for secret in {*tokens, *tickets, WORKER[1], basic, "Doe^Jane", "SECRET-ID"}:
        assert [page for page in pages if secret in page] == [], secret
