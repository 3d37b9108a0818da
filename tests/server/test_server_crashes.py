"""Kills while part of a derived series is stored: it is completed or replaced, never left or doubled."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from conftest import StartOrthanc
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_audit import kill, workers
from server_fixtures import settings

SLICES = 60


def kill_worker(server: OrthancServer, chance: random.Random) -> None:
    """End one of the workers; there are some."""
    pids = workers(server)
    assert pids
    kill(chance.choice(pids))


@pytest.mark.parametrize("moment", [0, 5])  # Orthanc, a worker
def test_a_kill_while_instances_are_stored(start_orthanc: StartOrthanc, tmp_path: Path, moment: int) -> None:
    """The moment that matters most: part of the series is in Orthanc."""
    server = start_orthanc(settings(tmp_path / "library", RetryPause=0.05))
    parent = server.upload(ct_phantom(slices=SLICES * 2, rows=96, columns=96, noise=0))
    answer = server.json(f"/series/{parent}/derive", "POST", json={"Pipeline": "plain", "Asynchronous": True})
    end = time.monotonic() + 30
    while server.json("/statistics")["CountInstances"] < SLICES * 2 + 1 + moment * 18 and time.monotonic() < end:
        time.sleep(0.002)
    kill_worker(server, random.Random(moment)) if moment % 2 else server.kill()
    if not moment % 2:
        server.start()
    while server.json(answer["Path"])["State"] not in ("Success", "Failure") and time.monotonic() < end:
        time.sleep(0.05)
    assert server.json(answer["Path"])["State"] == "Success"
    assert server.json("/statistics")["CountInstances"] == SLICES * 4
    assert len(server.series_ids()) == 2
