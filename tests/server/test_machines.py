"""Jobs on a box that shares neither a network nor a disk with Orthanc, while all of it breaks: ``make test-machines``.

Two hosts in namespaces, TLS on each connection, and a firewall that lets nobody connect to the box but dask's clients.
``MACHINES_JOBS``, ``MACHINES_BREAKS``, ``MACHINES_CANCELS``: how many. ``MACHINES_SEED``: which, and when.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from building import real
from dask_cluster import Cluster
from derived_series.identifiers import series_uids_of
from derived_series.machines.certificates import make_certificates
from hosts import Network
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom
from server_fixtures import finished, submit, until

JOBS = int(os.environ.get("MACHINES_JOBS", "0"))
BREAKS = int(os.environ.get("MACHINES_BREAKS", "0"))
CANCELS = int(os.environ.get("MACHINES_CANCELS", "0"))
SEED = int(os.environ.get("MACHINES_SEED", "1"))

pytestmark = pytest.mark.skipif(JOBS == 0, reason="hosts in namespaces: make test-machines")

PIPELINE = '''
"""A pipeline of the box, whose result tells which job made it."""
import time
from pathlib import Path

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    By: float = 0.0
    Seconds: float = 0.0
    Foreign: str = ""


class Shift(Pipeline):
    """The parent's values, shifted."""

    parameters = Settings
    environment = "gpu"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("shifted", "Smoothing")

    def process(self, container):
        if container.parameters.Foreign and list(Path(container.parameters.Foreign).iterdir()):
            raise ValueError("the server's disk is seen here")
        time.sleep(container.parameters.Seconds)
        return container["parent"].voxels() + container.parameters.By
'''

SLICES = 40
HTTP_PORT, HTTPS_PORT = 8042, 8443


class FarOrthanc(OrthancServer):
    """An Orthanc on a host, by HTTPS, which a proxy gives it: Debian 12's own ends at the first such request."""

    def __init__(self, folder: Path, changes: Mapping[str, Any], address: str, prefix: list[str], ca: Path):
        super().__init__(folder, changes)
        self.address = address
        self.prefix = prefix
        self.session.verify = str(ca)

    @property
    def url(self) -> str:
        return f"https://{self.address}:{HTTPS_PORT}"


class FarCluster(Cluster):
    """Scheduler and workers on the box, which a service starts again."""

    def __init__(self, folder: Path, address: str, prefix: list[str]):
        super().__init__(folder)
        self.host = address
        self.prefix = prefix


class Services(threading.Thread):
    """Starts scheduler and workers again that have ended."""

    def __init__(self, cluster: Cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.wait(0.3):
            for name, process in list(self.cluster.processes.items()):
                if process.poll() is None:
                    continue
                if name == "scheduler":
                    self.cluster.run_scheduler()
                else:
                    self.cluster.start_worker(name)


@dataclass(frozen=True, slots=True)
class Site:
    network: Network
    server: OrthancServer
    cluster: Cluster
    series: str

    def of_job(self, job: str) -> list[str]:
        query = {"Level": "Series", "Query": {"SeriesInstanceUID": "\\".join(series_uids_of(job))}}
        return list(self.server.json("/tools/find", "POST", json=query))


@pytest.fixture(scope="module")
def site(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("machines")
    ours, boxes = folder / "orthanc", folder / "box"
    for each in (ours, boxes, ours / "library"):
        each.mkdir()
    (ours / "library" / "shift.py").write_text(PIPELINE)
    with Network(["orthanc", "box"]) as network:
        orthanc, box = network.hosts["orthanc"], network.hosts["box"]
        with FarCluster(boxes, box, network.within("box", [ours])) as cluster:
            make_certificates(cluster.certificates, [orthanc])
            (ours / "machines").mkdir()
            for file in (cluster.certificates / orthanc).iterdir():
                (ours / "machines" / file.name).write_bytes(file.read_bytes())
            pem = (ours / "machines" / "cert.pem").read_text() + (ours / "machines" / "key.pem").read_text()
            (ours / "https.pem").write_text(pem)
            network.refuse_connections_to("box", but=cluster.port)
            gpu = {
                "Scheduler": cluster.address,
                "Certificates": str(ours / "machines"),
                "OrthancUrl": f"https://{orthanc}:{HTTPS_PORT}",
                "CaBundle": str(ours / "machines" / "ca.pem"),
                "Resources": {"GPU": 1},
                "Workers": 2,
                "LostAfterSeconds": 5,
            }
            folders = [str(REPOSITORY / "blueprints"), str(ours / "library")]
            keys = {
                "HttpPort": HTTP_PORT,
                "RemoteAccessAllowed": True,
                "AuthenticationEnabled": True,
                "RegisteredUsers": {"anna": "one", "worker": "of the box"},
                "DerivedSeries": {
                    "Workers": 1,
                    "QueueSize": 2000,
                    "Attempts": 50,
                    "BlueprintFolders": folders,
                    "Environments": {"gpu": gpu},
                },
            }
            cluster.start_scheduler()
            for name in ("one", "two"):
                cluster.start_worker(name)
            prefix = network.within("orthanc", [boxes])
            proxy = [sys.executable, str(REPOSITORY / "tests" / "tls_proxy.py"), str(ours / "https.pem")]
            dying = ["setpriv", "--pdeathsig", "KILL"]
            https = subprocess.Popen([*dying, *prefix, *proxy, str(HTTPS_PORT), str(HTTP_PORT)])
            with https, FarOrthanc(ours, keys, orthanc, prefix, ours / "machines" / "ca.pem") as server:
                series = server.upload(ct_phantom(slices=SLICES, patient_id="SECRET-ID", patient_name="Doe^Jane"))
                services = Services(cluster)
                services.start()
                yield Site(network, server, cluster, series)
                services.ending.set()
                services.join()
                https.kill()


def test_nothing_is_in_clear_on_the_wire_and_no_disk_is_shared(site: Site) -> None:
    with site.network.capture() as capture:
        parameters = {"By": 3, "Foreign": str(site.server.folder)}
        job = submit(site.server, site.series, Pipeline="shift", Parameters=parameters)
        end = finished(site.server, job, 120)
    assert end["State"] == "Success", site.server.json(f"/series/{site.series}/jobs/{job}")
    derived = end["Content"]["Result"]["ID"]
    voxels = [np.array([real(each) for each in site.server.download(each)]) for each in (site.series, derived)]
    assert np.array_equal(voxels[1], voxels[0] + 3)
    assert len(capture.content) > 100_000, "the series went over this wire"
    basic = requests.auth._basic_auth_str("worker", "of the box").split()[1]
    for secret in ("Doe^Jane", "SECRET-ID", "X-Derived-Series-Attempt", "Authorization", basic, job, "DICM"):
        assert secret.encode() not in capture.content, secret


def break_something(site: Site, chance: random.Random) -> str:
    """Break one thing for a moment, and have it work again."""
    cluster, network = site.cluster, site.network
    pause = chance.uniform(0.2, 7.0)
    what = chance.choice(["worker killed", "worker frozen", "scheduler killed", "scheduler frozen", "cable", "orthanc"])
    name = chance.choice(["one", "two"])
    if what.startswith("scheduler"):
        name = "scheduler"
    if what == "orthanc":
        site.server.kill()
        site.server.restart()
    elif what == "cable":
        network.cut("box")
        time.sleep(pause)
        network.cut("box", again=True)
    elif what.endswith("killed"):
        cluster.processes[name].kill()
    else:
        cluster.processes[name].send_signal(signal.SIGSTOP)
        time.sleep(pause)
        cluster.processes[name].send_signal(signal.SIGCONT)
    return f"{what} {name} {pause:.1f}"


def test_whatever_breaks_every_job_makes_one_series(site: Site) -> None:
    chance = random.Random(SEED)
    print(f"MACHINES_SEED={SEED}")
    before = site.server.series_ids()
    jobs = {}
    for number in range(JOBS):
        parameters = {"By": number, "Seconds": round(chance.uniform(0.0, 1.5), 2)}
        jobs[number] = submit(site.server, site.series, Pipeline="shift", Parameters=parameters)
    done = []
    for _ in range(BREAKS):
        done.append(break_something(site, chance))
        time.sleep(chance.uniform(0.1, 2.0))
    ends = {number: finished(site.server, job, 1800) for number, job in jobs.items()}
    assert {end["State"] for end in ends.values()} == {"Success"}, (
        done,
        [e for e in ends.values() if e["State"] != "Success"],
    )
    time.sleep(3)  # what is still on its way has arrived and gone
    series = {number: site.of_job(job) for number, job in jobs.items()}
    assert [number for number, each in series.items() if len(each) != 1] == []
    for number, (derived,) in series.items():
        assert len(site.server.json(f"/series/{derived}")["Instances"]) == SLICES, number
    assert site.server.series_ids() - before == {each for (each,) in series.values()}, "nobody's series are there"
    parent = np.array([real(each) for each in site.server.download(site.series)])
    for number in chance.sample(sorted(series), min(10, JOBS)):
        (derived,) = series[number]
        assert np.allclose(np.array([real(each) for each in site.server.download(derived)]), parent + number)


def test_of_what_is_cancelled_nothing_is_left(site: Site) -> None:
    chance = random.Random(SEED)
    before = site.server.series_ids()
    for _ in range(CANCELS):
        job = submit(site.server, site.series, Pipeline="shift", Parameters={"Seconds": 0.1})
        until(site.server, job, {"Running", "Success"})
        time.sleep(chance.uniform(0.0, 1.2))
        path = f"/series/{site.series}/jobs/{job}"
        cancelled = site.server.post(f"{path}/cancel").status_code == 200
        end = finished(site.server, job)
        if end["State"] == "Success":
            assert len(site.of_job(job)) == 1
            site.server.delete(f"/series/{site.of_job(job)[0]}")
            continue
        assert cancelled
        clear_until = time.monotonic() + 2
        while time.monotonic() < clear_until:
            whole = [each for each in site.of_job(job) if len(instances_of(site.server, each)) == SLICES]
            assert whole == [], json.dumps(end)
            time.sleep(0.1)
        assert site.of_job(job) == []
    assert site.server.series_ids() == before


def instances_of(server: OrthancServer, series: str) -> list[str]:
    answer = server.get(f"/series/{series}")
    return list(answer.json()["Instances"]) if answer.ok else []
