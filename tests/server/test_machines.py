"""Jobs of two Orthancs on boxes that share neither a network nor a disk with them, while all of it breaks:
``make test-machines``.

``MACHINES_JOBS``, ``MACHINES_BREAKS``, ``MACHINES_CANCELS``: how many. ``MACHINES_SEED``: which, and when.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import requests
from pydicom.dataset import Dataset

from building import real
from derived_series.identifiers import series_uids_of
from hospital import HOSTS, PASSWORD, WORKER, FarOrthanc, Hospital
from installed import not_installed
from job_audit import Audit, audit_of
from job_orders import Orders, Senders
from orthanc_server import INDEX_PLUGINS
from phantoms import ct_phantom
from postgresql_server import programs
from server_fixtures import finished, submit
from strikes import deck, strike
from two_orthancs import for_rule

JOBS = int(os.environ.get("MACHINES_JOBS", "0"))
BREAKS = int(os.environ.get("MACHINES_BREAKS", "0"))
CANCELS = int(os.environ.get("MACHINES_CANCELS", "0"))
SEED = int(os.environ.get("MACHINES_SEED", "1"))

pytestmark = pytest.mark.skipif(JOBS == 0, reason="hosts in namespaces: make test-machines")

PIPELINE = '''
"""A pipeline of the box, whose result tells which job made it."""
import os
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
        for folder in filter(None, container.parameters.Foreign.split(os.pathsep)):
            if list(Path(folder).iterdir()):
                raise ValueError("another host's disk is seen here")
        time.sleep(container.parameters.Seconds)
        return container["parent"].voxels() + container.parameters.By
'''

RULE = {
    "Name": "once",
    "Match": {"Modality": "CT", "SeriesDescription": "for the rule"},
    "Derive": {"Pipeline": "shift"},
}

#: One request stores the smaller ones, two the largest: there are moments at which part of it is stored.
SLICES = (2, 10, 36)
ROWS, COLUMNS = 16, 12

#: Of what is cancelled: two requests, for longer than it takes to cancel.
CANCELLED_SLICES = 40

#: Jobs that are there and not over, at most; a series for the rule comes before every so many strikes.
BACKLOG, STRIKES_A_SERIES = 6, 4

#: Seconds for an answer of an Orthanc that may have been cut off; and in which all has to be over in the end.
ANSWER_SECONDS, END_SECONDS = (3.0, 15.0), 900.0

#: Seconds that a strike waits for jobs to get on.
PROGRESS_SECONDS = 4.0

#: Orthanc's StableAge in the tests: after as long a pause, a rule fires for what has come.
STABLE_SECONDS = 1.0

#: Seconds after the last byte can have arrived in which what was cancelled is gone.
GONE_SECONDS = 2.0
STAYS_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Parent:
    series: str
    voxels: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Site:
    hospital: Hospital
    parents: list[Parent]


@pytest.fixture(scope="module")
def site(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if programs() is None or not all(path.exists() for path in INDEX_PLUGINS):
        not_installed("PostgreSQL with Orthanc's plugins for it", "run scripts/setup.sh")
    folder, library = tmp_path_factory.mktemp("hospital"), tmp_path_factory.mktemp("library")
    (library / "shift.py").write_text(PIPELINE)
    keys = {"QueueSize": 2000, "Attempts": 100, "RetryPause": 0.1, "JobsHistory": 100_000, "Rules": [RULE]}
    with Hospital(folder, library, keys) as hospital:
        parents = []
        for number, slices in enumerate(SLICES):
            series = hospital.a.upload(
                ct_phantom(slices, ROWS, COLUMNS, patient_id=f"P{number}", study=f"s{number}", series=f"c{number}")
            )
            parents.append(Parent(series, values(hospital.a, series)))
        yield Site(hospital, parents)


def values(server: FarOrthanc, series: str) -> npt.NDArray[np.float32]:
    return np.array([real(each) for each in server.download(series)])


def eventually(holds: Callable[[], object], what: str, seconds: float, pause: float = 0.3) -> None:
    """An Orthanc that does not answer is asked again."""
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (requests.RequestException, AssertionError):
            pass
        assert time.monotonic() < end, what
        time.sleep(pause)


# -- what is between the hosts -------------------------------------------------------------------------------------


def test_nothing_is_in_clear_on_the_wire_and_no_folder_is_in_common(site: Site) -> None:
    hospital = site.hospital
    for host in HOSTS:
        for folder in hospital.foreign(host):
            assert any(folder.iterdir())
            listing = subprocess.run([*hospital.prefix(host), "ls", "-A", str(folder)], capture_output=True, text=True)
            assert (listing.returncode, listing.stdout) == (0, ""), f"{host} sees {folder}"
    leader, other = sorted(hospital.servers, key=hospital.leads, reverse=True)
    with hospital.network.capture() as capture:
        series = other.upload(ct_phantom(slices=80, patient_id="SECRET-ID", patient_name="Doe^Jane"))
        parameters = {"By": 3, "Foreign": os.pathsep.join(map(str, hospital.foreign("one")[:3]))}
        job = submit(other, series, Pipeline="shift", Parameters=parameters)
        end = finished(leader, job, 120)
    assert end["State"] == "Success", leader.json(f"/series/{series}/jobs/{job}")
    derived = leader.json(f"/series/{series}/jobs/{job}")["Content"]["Result"]["ID"]
    assert np.array_equal(values(other, derived), values(leader, series) + 3)
    assert len(capture.content) > 500_000, "the series went over this wire, to the database, too"
    basic = requests.auth._basic_auth_str(*WORKER).split()[1]
    secrets = ["Doe^Jane", "SECRET-ID", "X-Derived-Series-Attempt", "Authorization", basic, job, "DICM", PASSWORD]
    for secret in [*secrets, "INSERT INTO", "derived_series"]:
        assert secret.encode() not in capture.content, secret
    for name in hospital.servers:
        assert name.json("/derived-series/status")["Nodes"]["All"] == ["a", "b"]


# -- whatever breaks -----------------------------------------------------------------------------------------------


class FarSenders(Senders):
    """Of one Orthanc or the other."""

    def __init__(self, site: Site, orders: Orders):
        super().__init__(orders, threads=2, pause=(0.05, 0.3), seed=SEED)
        self.site = site

    def send(self, chance: random.Random) -> None:
        index = chance.randrange(len(self.site.parents))
        number = self.orders.begin(index)
        server = chance.choice(self.site.hospital.servers)
        parameters = {"By": number, "Seconds": round(chance.uniform(0.0, 0.8), 2)}
        order = {"Pipeline": "shift", "Parameters": parameters, "SeriesDescription": f"job {number}"}
        route = f"/series/{self.site.parents[index].series}/derive"
        try:
            answer = server.post(route, json={**order, "Asynchronous": True}, timeout=ANSWER_SECONDS)
        except requests.RequestException:
            self.orders.unanswered.add(number)  # maybe accepted
            return
        if answer.status_code == 200:
            self.orders.answered[number] = answer.json()["ID"]
        elif answer.status_code >= 500:  # with the database it goes away in the midst of what it had accepted
            self.orders.unanswered.add(number)
        else:
            self.orders.refused.append(answer.text)


def send_for_rule(servers: Iterable[FarOrthanc], orders: Orders, number: int) -> None:
    """Send a series that the rule fires for, as a modality does: to the next one when one has not taken it."""
    datasets: list[Dataset] = for_rule(number)
    uid = str(datasets[0].SeriesInstanceUID)
    orders.sent[uid] = None
    began = time.monotonic()
    for server in servers:
        try:
            series = orders.sent[uid] = server.upload(datasets)
        except (requests.RequestException, AssertionError):
            continue
        if time.monotonic() - began < STABLE_SECONDS:
            orders.at_once[series] = len(datasets)
        return


def wait_for_progress(servers: Iterable[FarOrthanc], jobs: int) -> None:
    """So that things break while jobs run, and not while they wait; but no longer than some seconds."""
    end = time.monotonic() + PROGRESS_SECONDS
    for server in cycle(servers):
        try:
            status = server.json("/derived-series/status", timeout=ANSWER_SECONDS)
            if status["Jobs"]["Success"] >= jobs:
                return
        except (requests.RequestException, AssertionError):
            pass
        if time.monotonic() >= end:
            return
        time.sleep(0.2)


def are_over(server: FarOrthanc) -> bool:
    jobs = server.json("/derived-series/jobs?expand", timeout=ANSWER_SECONDS)
    return all(job["State"] in ("Success", "Failure") for job in jobs)


def test_whatever_breaks_every_job_makes_one_series(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    hospital, chance, began = site.hospital, random.Random(SEED), time.monotonic()
    with capsys.disabled():
        print(f"\nMACHINES_SEED={SEED}", flush=True)
    for each in hospital.a.json("/series"):  # of the test before
        if each not in {parent.series for parent in site.parents}:
            hospital.a.delete(f"/series/{each}")
    former = {job["ID"] for job in hospital.a.json("/derived-series/jobs?expand")}
    orders, kinds, cards = Orders(), Counter[str](), deck(chance)
    with FarSenders(site, orders) as senders:
        for number in range(BREAKS):
            senders.allowed = BACKLOG + (JOBS - BACKLOG) * (number + 1) // BREAKS
            if number % STRIKES_A_SERIES == 0:
                send_for_rule(chance.sample(hospital.servers, 2), orders, number)
            wait_for_progress(hospital.servers, len(former) + JOBS * number // BREAKS - BACKLOG)
            time.sleep(chance.uniform(0.0, 1.0))
            host, way = next(cards)
            kinds[f"{host} {way}"] += 1
            strike(hospital, host, way, chance)
            if number % 10 == 9:
                with capsys.disabled():
                    spent = time.monotonic() - began
                    print(f"{number + 1} strikes, {len(orders.answered)} jobs accepted, {spent:.0f} s", flush=True)
        eventually(lambda: len(orders.answered) >= JOBS, "the jobs are not all accepted", END_SECONDS)
    eventually(lambda: all(are_over(server) for server in hospital.servers), "jobs are not over", END_SECONDS)
    whole = [series for series in orders.sent.values() if series is not None]
    eventually(
        lambda: all(hospital.a.json(f"/series/{each}/jobs") for each in whole), "a series for which no rule fires", 60
    )
    eventually(lambda: are_over(hospital.b), "a rule's jobs are not over", END_SECONDS)
    time.sleep(3)  # what is still on its way has arrived and gone
    summaries = hospital.b.json("/derived-series/jobs?expand")
    jobs = [hospital.b.json(each["Path"]) for each in summaries if each["ID"] not in former]
    listing = hospital.a.json("/series?expand")
    slices = {parent.series: len(parent.voxels) for parent in site.parents}
    audit = audit_of(slices, orders, jobs, listing)
    attempts = Counter(job["Content"]["Attempt"] for job in jobs)
    rules = sum(bool(job["Content"].get("Rule")) for job in jobs)
    with capsys.disabled():
        print(
            f"machines: seed {SEED}, {kinds.total()} strikes {dict(sorted(kinds.items()))}, {len(jobs) - rules} jobs "
            f"and {rules} of a rule, {len(orders.unanswered)} requests without an answer, attempts "
            f"{dict(sorted(attempts.items()))}, {audit.counts()}, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    assert audit == Audit()
    assert len(jobs) - rules >= JOBS and not orders.refused
    assert {parent.series: values(hospital.b, parent.series).tolist() for parent in site.parents} == {
        parent.series: parent.voxels.tolist() for parent in site.parents
    }
    statistics = hospital.b.json("/statistics")
    assert statistics["CountSeries"] == len(listing)
    assert statistics["CountInstances"] == sum(len(each["Instances"]) for each in listing)
    by_number = {job["Content"]["Request"].get("SeriesDescription"): job for job in jobs}
    for number in chance.sample(sorted(orders.answered), min(30, JOBS)):
        derived = by_number[f"job {number}"]["Content"]["Result"]["ID"]
        assert np.array_equal(values(hospital.b, derived), site.parents[orders.parents[number]].voxels + number), number


# -- cancelling ----------------------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """Looks at what there is of a job's series, through one Orthanc and the other, until it is ended.

    An Orthanc may still be storing a request that had come before the job was cancelled.

    :ivar most: the most instances that were there at once.
    :ivar there: when there were any, and :ivar came: when there was one that had not been there before.
    """

    def __init__(self, servers: tuple[FarOrthanc, FarOrthanc], job: str):
        super().__init__(daemon=True)
        self.servers = servers
        self.job = job
        self.most = 0
        self.there = self.came = time.monotonic()
        self.ending = threading.Event()

    def run(self) -> None:
        known: set[str] = set()
        for server in cycle(self.servers):
            if self.ending.wait(0.1):
                return
            try:
                instances = instances_of(server, self.job)
            except (requests.RequestException, AssertionError):
                continue
            now = time.monotonic()
            self.most = max(self.most, len(instances))
            if instances:
                self.there = now
            if instances - known:
                self.came = now
            known |= instances

    def end(self) -> None:
        self.ending.set()
        self.join()


def instances_of(server: FarOrthanc, job: str) -> set[str]:
    """The instances that are there under the UIDs of a job."""
    query = {"Level": "Instance", "Query": {"SeriesInstanceUID": "\\".join(series_uids_of(job))}}
    return set(server.json("/tools/find", "POST", json=query, timeout=ANSWER_SECONDS))


def test_of_what_is_cancelled_nothing_is_left(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Some while a box is frozen or cut off: what it sends comes when it is back."""
    hospital, chance, began = site.hospital, random.Random(SEED), time.monotonic()
    series = hospital.a.upload(ct_phantom(CANCELLED_SLICES, ROWS, COLUMNS, patient_id="C", study="c", series="c"))
    before = hospital.a.series_ids()
    ways: Counter[str] = Counter()
    tries, longest = 0, 0.0
    while ways.total() < CANCELS:
        tries += 1
        assert tries < 5 * CANCELS + 20, f"most jobs are over before they are cancelled: {ways}"
        first, second = (chance.choice(hospital.servers) for _ in range(2))
        job = submit(first, series, Pipeline="shift", Parameters={"Seconds": 0.1})
        way, host = chance.choice(["plain", "plain", "plain", "frozen", "cut off"]), chance.choice(["one", "two"])
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0.0, 2.0))
        else:  # while it is being stored
            eventually(lambda: instances_of(second, job), "nothing is stored", 60, 0.02)  # noqa: B023
            time.sleep(chance.uniform(0.0, 0.5))
        breaking: dict[str, Any] = {
            "plain": nullcontext,
            "frozen": lambda: hospital.frozen(host),  # noqa: B023  # called in this same turn
            "cut off": lambda: hospital.cut_off(host),  # noqa: B023
        }
        watch = Watch(hospital.servers, job)
        watch.start()
        with breaking[way]():
            answer = second.post(f"/series/{series}/jobs/{job}/cancel")
            cancelled = time.monotonic()
            end = finished(first, job)
            if way != "plain":
                time.sleep(chance.uniform(0.0, 2.0))
        if end["State"] == "Success":
            watch.end()
            assert answer.status_code == 409, "it was cancelled, and is there"
            first.delete(f"/series/{first.json(f'/series/{series}/jobs/{job}')['Content']['Result']['ID']}")
            continue
        assert answer.ok, answer.text
        over = time.monotonic()
        eventually(
            lambda: time.monotonic() > max(watch.there, over) + GONE_SECONDS,  # noqa: B023
            "something of it stays",
            STAYS_SECONDS,
        )
        watch.end()
        assert watch.most < CANCELLED_SLICES, "it was there as a whole series"
        stayed = watch.there - max(watch.came, cancelled)
        assert stayed <= GONE_SECONDS, json.dumps(end)
        longest = max(longest, stayed)
        ways[way] += 1
    time.sleep(GONE_SECONDS)
    assert hospital.b.series_ids() == before
    with capsys.disabled():
        print(
            f"machines: seed {SEED}, {ways.total()} cancels {dict(ways)} of {tries} jobs, nothing left {longest:.1f} s "
            f"after the last instance came, {time.monotonic() - began:.0f} s",
            flush=True,
        )
