"""Two Orthancs and their PostgreSQL killed and frozen at random: what is accepted is done once, a rule fires once.

``NODE_KILLS``, ``NODE_JOBS``: how many (``make test-crash``: 100 over 200). ``CRASH_SEED``: which moments, and what.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from installed import not_installed
from job_orders import Orders
from orthanc_server import INDEX_PLUGINS, OrthancFailed, OrthancServer
from postgresql_server import PostgresqlServer, programs
from server_audit import all_over, kill, survivors, volume, workers
from test_crash import SEED, SHIFT, SLICES, Submitters, accepted, upload_parents
from two_orthancs import TwoOrthancs, for_rule, frozen

KILLS = int(os.environ.get("NODE_KILLS", "4"))
JOBS = int(os.environ.get("NODE_JOBS", "10"))

RULE = {
    "Name": "once",
    "Match": {"Modality": "CT", "SeriesDescription": "for the rule"},
    "Derive": {"Pipeline": "shift"},
}

KINDS = {
    "orthanc killed": 4,
    "workers killed": 2,
    "orthanc frozen": 3,
    "orthanc frozen for long": 1,
    "postgresql killed": 2,
    "postgresql frozen": 1,
}


def strike(two: TwoOrthancs, kind: str, chance: random.Random) -> None:
    server = chance.choice(two.servers)
    if kind == "orthanc killed":
        family = server.children()
        server.kill()
        time.sleep(chance.choice([0.0, 0.5, 3.0]))
        start(server)
        assert survivors(family, 10.0) == []
    elif kind == "workers killed":
        for pid in workers(server):
            kill(pid)
    elif kind == "orthanc frozen":
        with frozen(server):
            time.sleep(chance.uniform(0.1, 2.0))
    elif kind == "orthanc frozen for long":  # so that another leads
        with frozen(server):
            time.sleep(chance.uniform(9.0, 14.0))
    elif kind == "postgresql killed":
        two.postgresql.kill()
        time.sleep(chance.choice([0.0, 1.0, 10.0]))
        two.postgresql.start()
        for each in two.servers:  # Orthanc may not outlive its index
            if each.returncode is not None:
                start(each)
    else:
        with two.postgresql.frozen():
            time.sleep(chance.uniform(0.5, 12.0))


def start(server: OrthancServer) -> None:
    for _ in range(3):
        try:
            server.start()
            return
        except OrthancFailed:
            continue
    server.start()


def answering(server: OrthancServer, path: str, seconds: float = 60) -> Any:
    """What a server answers, once it does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return server.json(path)
        except (requests.RequestException, AssertionError):
            if time.monotonic() >= end:
                raise
            time.sleep(0.2)


def send_for_rule(server: OrthancServer, number: int) -> str | None:
    """Send a series that the rule fires for; None where not all of it has arrived."""
    try:
        return server.upload(for_rule(number))
    except (requests.RequestException, AssertionError):
        return None


def test_what_is_accepted_is_done_once_whatever_dies(
    orthanc_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if programs() is None or not all(path.exists() for path in INDEX_PLUGINS):
        not_installed("PostgreSQL with Orthanc's plugins for it", "run scripts/setup.sh")
    chance = random.Random(SEED)
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    with (
        PostgresqlServer() as postgresql,
        TwoOrthancs(tmp_path, postgresql, "all", {"DerivedSeries": {"Rules": [RULE]}}) as two,
    ):
        (tmp_path / "library" / "shift.py").write_text(SHIFT)
        for server in two.servers:
            server.restart()
        parents = upload_parents(two.a, SLICES)
        submissions, sent = Orders(), []
        with Submitters(two.servers, parents, submissions, {}) as submitters:
            for number in range(KILLS):
                submitters.allowed = 4 + JOBS * (number + 1) // KILLS
                if number % 3 == 0 and (series := send_for_rule(chance.choice(two.servers), number)):
                    sent.append(series)
                time.sleep(chance.uniform(0.0, 1.0))
                kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
                kinds[kind] += 1
                strike(two, kind, chance)
            end = time.monotonic() + 120
            while len(submissions.answered) < JOBS and time.monotonic() < end:
                time.sleep(0.1)
        for server in two.servers:
            answering(server, "/derived-series/status")
        end = time.monotonic() + 60
        while time.monotonic() < end and not all(answering(two.a, f"/series/{each}/jobs") for each in sent):
            time.sleep(0.5)
        every = all_over(two.b, 400)
        by_rule = [job for job in every if job["Content"].get("Rule")]
        jobs = accepted([job for job in every if not job["Content"].get("Rule")], submissions)
        with capsys.disabled():
            attempts = Counter(job["Content"]["Attempt"] for job in every)
            print(
                f"\nnodes, seed {SEED}: {kinds.total()} strikes {dict(kinds)} over {len(jobs)} jobs and {len(by_rule)} "
                f"of a rule, {len(submissions.unanswered)} submissions without an answer, attempts "
                f"{dict(sorted(attempts.items()))}, {time.monotonic() - began:.0f} s"
            )
        assert len(jobs) >= JOBS
        fired = Counter(job["Content"]["ParentSeries"] for job in by_rule)
        assert set(sent) <= set(fired) and set(fired.values()) <= {1}, "a rule fires once for a series"
        assert all(job["State"] == "Success" for job in by_rule)
        described = Counter(each["MainDicomTags"].get("SeriesDescription") for each in two.a.json("/series?expand"))
        assert {name: count for name, count in described.items() if str(name).startswith("job ")} == {
            f"job {number}": 1 for number in jobs
        }, "one series a job, and none of any other"
        for number, job in jobs.items():
            parent = parents[submissions.parents[number]]
            derived = volume(two.b, job["Content"]["Result"]["ID"])
            assert len(derived) == len(parent.voxels), "no partial series"
            assert np.array_equal(derived.voxels(), parent.voxels + number)
