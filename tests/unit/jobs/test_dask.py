"""A scheduler of the site's own, without this package, and a plain ``dask worker`` with our preload."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dask_cluster import wait_for_port
from derived_series.errors import StorageError
from derived_series.jobs.box.box import Box, Place
from derived_series.jobs.remote.errand import Errand, to_be_done
from derived_series.jobs.remote.runs import REPORT, run_here
from orthanc_server import REPOSITORY, free_port

#: Runs dask's own command where there is nothing of ours.
WITHOUT_US = "import sys; sys.modules['derived_series'] = None; from dask.cli import run_cli; run_cli()"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    dying = ["setpriv", "--pdeathsig", "KILL", sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "plugin"), "DERIVED_SERIES_SCRATCH": str(tmp_path)}
    scheduler = ["-c", WITHOUT_US, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["-m", "dask", "worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard"]
    worker += ["--resources", "GPU=1", "--preload", "derived_series.jobs.box.preload"]
    processes = []
    try:
        for arguments in (scheduler, worker):
            command = [*dying, *arguments]
            with (tmp_path / "log").open("ab") as log:
                processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log))
            wait_for_port(port, "127.0.0.1")
        yield f"tcp://127.0.0.1:{port}"
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        gc.collect()  # what dask has left open, here, where the warnings that it has are expected


@pytest.mark.slow
@pytest.mark.filterwarnings("default::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_errand_comes_to_the_box_past_a_scheduler_that_knows_nothing_of_us(address: str, tmp_path: Path) -> None:
    import distributed  # takes long, for the other tests of a run

    make: Any = distributed.Client
    with make(address, set_as_default=False, timeout=30) as client:
        end = time.monotonic() + 60
        while not (workers := client.scheduler_info()["workers"]):
            assert time.monotonic() < end
            time.sleep(0.1)
        (worker,) = workers.values()
        assert worker["metrics"][REPORT]["Unreached"] == {} and worker["resources"] == {"GPU": 1}
        errand = Errand(f"http://127.0.0.1:{free_port()}", "/nowhere", "A-TICKET", None, "/dicom-web", 1.0)
        carried = to_be_done(run_here, errand.to_json())
        task = client.submit(pickle.load, carried, key="short", resources={"GPU": 1}, retries=0, pure=False)
        error = task.exception(90)
        assert isinstance(error, StorageError) and "/nowhere/claim: no answer" in error.message
    end = time.monotonic() + 20
    while "Compute Failed" not in (text := (tmp_path / "log").read_text("utf-8", "replace")):
        assert time.monotonic() < end, "dask logs a task that fails, and with a short key its arguments"
        time.sleep(0.05)
    assert "A-TICKET" not in text


def test_a_second_worker_of_one_name_ends_before_the_scheduler_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """dask only logs what a preload raises, and would run it without."""
    from derived_series.jobs.box import preload  # dask takes long, for the other tests of a run

    first = Box("one", Place(tmp_path))

    def end(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setenv("DERIVED_SERIES_SCRATCH", str(tmp_path))
    worker: Any = SimpleNamespace(name="one", local_directory=str(tmp_path), metrics={})
    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(SystemExit, match="2"),
    ):  # another test's loop may run in this one
        thread.submit(lambda: asyncio.run(preload.dask_setup(worker))).result()
    assert "another worker named 'one' runs with the folder" in capsys.readouterr().err and worker.metrics == {}
    first.close()
