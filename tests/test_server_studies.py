"""What else happens in a study while jobs run in it: other jobs, and its deletion."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import StartOrthanc
from orthanc_server import OrthancServer, free_port
from phantoms import ct_phantom
from server_fixtures import derive, finished, settings, submit, until
from slow_proxy import SlowProxy, slow_proxy


@pytest.fixture(scope="module")
def proxy() -> Iterator[SlowProxy]:
    with slow_proxy(free_port()) as found:
        yield found


@pytest.fixture(scope="module")
def running(
    orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory, proxy: SlowProxy
) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    with OrthancServer(folder, settings(folder / "library", OrthancUrl=proxy.url)) as server:
        proxy.server = server
        yield server


@pytest.fixture
def server(running: OrthancServer, proxy: SlowProxy) -> OrthancServer:
    proxy.gate.set()
    running.delete_all()
    return running


def eventually(holds: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_33_derivations_at_once_in_one_study_share_no_series_number(
    start_orthanc: StartOrthanc, tmp_path: Path
) -> None:
    server = start_orthanc(settings(tmp_path / "library", Workers=4))
    parents = [server.upload(ct_phantom(slices=3, series=str(n), series_number=n)) for n in range(1, 5)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: derive(server, parents[n % 4], Pipeline="plain")["Path"], range(16)))
    numbers = [int(server.json(path)["MainDicomTags"]["SeriesNumber"]) for path in made]
    assert sorted(numbers) == [*range(1001, 1001 + 16)]


@pytest.mark.parametrize("level", ["study", "series"])
def test_a_deleted_parent_does_not_come_back(server: OrthancServer, level: str) -> None:
    ct = server.upload(ct_phantom(slices=3))
    gone = f"/studies/{server.json(f'/series/{ct}/study')['ID']}" if level == "study" else f"/series/{ct}"
    mine = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 1.0})
    until(server, mine, {"Running"})
    assert eventually(lambda: server.json(f"/derived-series/jobs/{mine}")["Content"].get("Phase") == "Processing")
    server.json(gone, "DELETE")
    _is_refused_as_deleted(server, mine)


def test_a_parent_deleted_while_its_derived_series_is_on_the_way(server: OrthancServer, proxy: SlowProxy) -> None:
    ct = server.upload(ct_phantom(slices=3))
    proxy.gate.clear()
    mine = submit(server, ct, Pipeline="plain")
    assert eventually(lambda: proxy.held == 1)
    server.delete_all()
    proxy.gate.set()
    _is_refused_as_deleted(server, mine)


def test_a_parent_deleted_before_its_job_runs(server: OrthancServer) -> None:
    ct, other = server.upload(ct_phantom(slices=3)), server.upload(ct_phantom(slices=3, series="other"))
    naps = [submit(server, other, Pipeline="plain", Parameters={"Seconds": 1.0}) for _ in range(2)]
    mine = submit(server, ct, Pipeline="plain")
    server.json(f"/series/{ct}", "DELETE")
    done = finished(server, mine)
    assert "the parent was deleted" in done["ErrorDescription"]
    for nap in naps:
        assert finished(server, nap)["State"] == "Success"


def _is_refused_as_deleted(server: OrthancServer, job: str) -> None:
    done = finished(server, job)
    assert done["State"] == "Failure" and done["Content"]["Error"]["HttpStatus"] == 409, done
    assert "the parent was deleted" in done["ErrorDescription"]
    assert server.json("/patients") == [] and server.json("/statistics")["CountInstances"] == 0
