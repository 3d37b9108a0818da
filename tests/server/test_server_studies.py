"""What else happens in a study while jobs run in it: other jobs, its deletion, and what comes late of those ended."""

from __future__ import annotations

import concurrent.futures
import time
from functools import partial
from pathlib import Path

import pytest

from conftest import StartOrthanc
from derived_series.identifiers import uid_of
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from proxied_orthanc import proxy, running, server
from server_fixtures import derive, finished, settings, submit, until
from slow_proxy import SlowProxy
from waiting import soon

__all__ = ["proxy", "running", "server"]

CHANCE = '''
"""A pipeline that never gives the same twice."""
import random

import numpy as np

from derived_series import derivation
from derived_series.pipelines import Pipeline


class Chance(Pipeline):
    """One value everywhere, another each time."""

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("chance", "Smoothing")

    def process(self, container):
        return np.full(container["parent"].voxels().shape, random.randrange(1, 30000), np.int16)
'''


@pytest.fixture(scope="module")
def pipelines() -> dict[str, str]:
    return {"chance.py": CHANCE}


def test_33_derivations_at_once_in_one_study_share_no_series_number(
    start_orthanc: StartOrthanc, tmp_path: Path
) -> None:
    server = start_orthanc(settings(tmp_path / "library", Workers=4))
    parents = [server.upload(ct_phantom(slices=3, series=str(n), series_number=n)) for n in range(1, 5)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda n: derive(server, parents[n % 4], Pipeline="plain")["Path"], range(16)))
    numbers = [int(server.json(path)["MainDicomTags"]["SeriesNumber"]) for path in paths]
    assert sorted(numbers) == [*range(1001, 1001 + 16)]


@pytest.mark.parametrize("level", ["study", "series"])
def test_a_deleted_parent_does_not_come_back(server: OrthancServer, level: str) -> None:
    ct = server.upload(ct_phantom(slices=3))
    gone = f"/studies/{server.json(f'/series/{ct}/study')['ID']}" if level == "study" else f"/series/{ct}"
    mine = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 1.0})
    until(server, mine, {"Running"})
    soon(lambda: server.json(f"/derived-series/jobs/{mine}")["Content"].get("Phase") == "Processing")
    server.json(gone, "DELETE")
    _is_refused_as_deleted(server, mine)


def test_a_parent_deleted_while_its_derived_series_is_on_the_way(server: OrthancServer, proxy: SlowProxy) -> None:
    ct = server.upload(ct_phantom(slices=3))
    proxy.close()
    mine = submit(server, ct, Pipeline="plain")
    soon(lambda: len(proxy.waiting) == 1)
    server.delete_all()
    proxy.open()
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


def test_33_what_a_slow_proxy_brings_of_a_cancelled_job_is_removed(server: OrthancServer, proxy: SlowProxy) -> None:
    """The proxy has the requests whole when the job is cancelled, and passes them on much later."""
    ct = server.upload(ct_phantom(slices=90, rows=64, columns=64, noise=0))
    proxy.close()
    mine = submit(server, ct, Pipeline="plain")
    soon(lambda: len(proxy.waiting) >= 2)
    server.post(f"/derived-series/jobs/{mine}/cancel")
    assert finished(server, mine)["State"] == "Failure"
    time.sleep(3)
    passed = proxy.passed
    proxy.open()
    soon(lambda: len(proxy.waiting) == 0 and proxy.passed >= passed + 2)
    soon(lambda: server.series_ids() == {ct})
    soon(lambda: "series that a former attempt" in server.log())


def test_33_one_large_instance_of_a_cancelled_job_is_removed(server: OrthancServer, proxy: SlowProxy) -> None:
    """As large as 200 frames: it arrives when the job is cancelled."""
    ct = server.upload(ct_phantom(slices=200, rows=160, columns=160, noise=0))
    for _ in range(1):
        proxy.close()
        mine = submit(server, ct, Blueprint="legacy_enhanced_ct", Factory="numpy")
        soon(lambda: len(proxy.waiting) == 1)
        before = proxy.passed
        server.post(f"/derived-series/jobs/{mine}/cancel")
        assert finished(server, mine)["State"] == "Failure"
        proxy.open()
        soon(partial(_has_passed, proxy, before + 1))
        soon(lambda: server.series_ids() == {ct})


def _has_passed(proxy: SlowProxy, requests: int) -> bool:
    return proxy.passed >= requests


def test_33_what_comes_late_of_an_attempt_is_not_left_in_the_next(server: OrthancServer, proxy: SlowProxy) -> None:
    """A cancelled job is resubmitted; a request of its first attempt arrives while the second stores."""
    ct = server.upload(ct_phantom(slices=100, rows=16, columns=12, noise=0))
    proxy.close()
    mine = submit(server, ct, Pipeline="chance")
    soon(lambda: len(proxy.waiting) == 4)
    server.post(f"/derived-series/jobs/{mine}/cancel")
    assert finished(server, mine)["State"] == "Failure"
    late = next(held for held in proxy.waiting if uid_of(mine, "instance", 75).encode() in held.body)
    others = [held for held in proxy.waiting if held is not late]
    server.json(f"/derived-series/jobs/{mine}/resubmit", "POST")
    soon(lambda: len(proxy.waiting) == 8)
    passed = proxy.passed
    late.goes_on.set()
    soon(lambda: proxy.passed == passed + 1)
    for held in set(proxy.waiting) - set(others):
        held.goes_on.set()
    soon(lambda: proxy.passed == passed + 5)
    proxy.open()
    done = finished(server, mine)
    assert done["State"] == "Success", done
    assert len({int(d.pixel_array.max()) for d in server.download(done["Content"]["Result"]["ID"])}) == 1
    assert len(server.series_ids()) == 2


def test_33_a_job_that_was_cut_short_leaves_nothing_after_a_crash(server: OrthancServer, proxy: SlowProxy) -> None:
    ct = server.upload(ct_phantom(slices=40, rows=32, columns=32, noise=0))
    proxy.close()
    mine = submit(server, ct, Pipeline="plain")
    soon(lambda: len(proxy.waiting) == 2)
    server.post(f"/derived-series/jobs/{mine}/cancel")
    assert finished(server, mine)["State"] == "Failure"
    server.kill()
    server.start()
    passed = proxy.passed
    proxy.open()
    soon(lambda: proxy.passed == passed + 2)
    soon(lambda: server.series_ids() == {ct})
