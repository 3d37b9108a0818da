"""Pipelines that do what no pipeline should: their job ends with a clear error, other jobs and Orthanc go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_audit import all_jobs, workers
from server_fixtures import derive, finished, settings, submit

RUDE = '''
"""Pipelines that are rude to their process."""
import ctypes
import os
import signal
import sys
import threading
import time

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    How: str = ""


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Rude(Pipeline):
    """Ends in the way that How names."""

    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        if parameters.How == "raise in blueprint_for":
            raise KeyError("blueprint")
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        values = container["parent"].voxels()
        getattr(self, container.parameters.How.replace(" ", "_"), lambda: None)()
        return values

    def segfault(self):
        ctypes.string_at(0)

    def segfault_in_a_thread(self):
        thread = threading.Thread(target=ctypes.string_at, args=(0,))
        thread.start()
        thread.join()

    def stack_overflow(self):
        sys.setrecursionlimit(10**9)
        os.environ["RUDE"] = repr(eval("lambda f: f(f)")(lambda f: f(f)))

    def recursion(self):
        self.recursion()

    def exit_at_once(self):
        os._exit(0)

    def terminate_itself(self):
        signal.raise_signal(signal.SIGABRT)

    def endless_loop(self):
        while True:
            pass

    def endless_native_code(self):
        ctypes.PyDLL(None).sleep(600)

    def endless_loop_that_ignores_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                time.sleep(1)
            except BaseException:
                pass

    def memory(self):
        hold = []
        while True:
            hold.append(bytearray(1 << 26))

    def memory_in_numpy(self):
        import numpy

        numpy.ones((1 << 20, 1 << 20))

    def thread_that_never_ends(self):
        threading.Thread(target=time.sleep, args=(600,)).start()

    def thread_that_raises(self):
        thread = threading.Thread(target=self.recursion)
        thread.start()
        thread.join()

    def garbage_on_stdout(self):
        junk = bytes(range(256)) * 4096
        for handle in (1, 2):
            os.write(handle, junk)
        print("E0101 00:00:00.000000 fake.cpp:1] a line that looks like Orthanc's own")
        sys.stdout.buffer.write(junk)
        sys.stderr.write("x" * 100_000)

    def closes_its_stdout(self):
        sys.stdout.close()
        os.close(1)

    def closes_all_files(self):
        os.closerange(0, 256)

    def forks(self):
        os.fork()  # and both go on

    def forks_and_the_child_raises(self):
        if os.fork() == 0:
            raise ValueError("I am the child")

    def reads_stdin(self):
        input("your name? ")

    def leaves_the_folder(self):
        os.chdir("/proc/self")

    def forgets_its_environment(self):
        os.environ.clear()

    def removes_sys_path(self):
        sys.path.clear()

    def raises_without_words(self):
        raise Unspeakable

    def raises_a_long_word(self):
        raise ValueError("x" * 20_000_000)

    def raises_what_cannot_be_sent(self):
        error = ValueError("locked")
        error.lock = threading.Lock()
        raise error

    def interrupts(self):
        raise KeyboardInterrupt

    def exits(self):
        sys.exit("goodbye")
'''

#: How a pipeline ends -> a word of the error; None: it succeeds all the same.
ENDS: dict[str, str | None] = {
    "segfault": "SIGSEGV",
    "segfault in a thread": "SIGSEGV",
    "recursion": "RecursionError",
    "exit at once": "exit code 0",
    "terminate itself": "SIGABRT",
    "endless loop": "longer than 1.5 s",
    "endless native code": "longer than 1.5 s",
    "endless loop that ignores signals": "longer than 1.5 s",
    "memory": "memory",
    "memory in numpy": "memory",
    "thread that never ends": None,
    "thread that raises": None,
    "garbage on stdout": None,
    "closes its stdout": None,
    "closes all files": "",
    "forks": None,
    "forks and the child raises": None,
    "reads stdin": "EOFError",
    "leaves the folder": None,
    "forgets its environment": None,
    "removes sys path": None,
    "raises without words": "no words",
    "raises a long word": "ValueError: xxx",
    "raises what cannot be sent": "ValueError: locked",
    "interrupts": "KeyboardInterrupt",
    "exits": "goodbye",
    "raise in blueprint_for": "KeyError",
}


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("rude")
    keys = settings(folder / "library", Pipelines={"rude": {"MemoryMB": 1500}}, RetryPause=0.1, Attempts=2)
    (folder / "library" / "rude.py").write_text(RUDE)
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


@pytest.fixture
def ct(server: OrthancServer) -> str:
    server.delete_all()
    return server.upload(ct_phantom(slices=3))


@pytest.mark.parametrize("how", ENDS)
def test_a_rude_pipeline_ends_its_own_job_only(server: OrthancServer, ct: str, how: str) -> None:
    other = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 0.5})
    request: dict[str, Any] = {"Pipeline": "rude", "Parameters": {"How": how}, "Timeout": 1.5}
    if "endless" not in how:
        request["Timeout"] = 30
    answer = server.post(f"/series/{ct}/derive", json=request)
    word = ENDS[how]
    if word is None:
        assert answer.status_code == 200, answer.text[:2000]
    else:
        assert answer.status_code == 500, answer.text[:2000]
        assert word in answer.json()["Message"] and len(answer.text) < 50_000
    job = finished(server, other)
    assert job["State"] == "Success" and job["Content"]["Attempt"] == 1, job
    # and the worker that was treated so, or the one in its place, does the next jobs
    for _ in range(3):
        again = derive(server, ct, Pipeline="gaussian_smoothing")
        assert again["InstancesCount"] == 3
    assert len(workers(server)) == 2
    series = server.series_ids()
    assert len(series) == 1 + 1 + 3 + (word is None), "nothing of the failed one, nothing twice"
    assert server.json("/statistics")["CountInstances"] == 3 * len(series)


def test_what_one_job_could_not_have_the_next_one_has(server: OrthancServer, ct: str) -> None:
    """The memory of a job that ran out of it is free before the same worker's next job begins."""
    for _ in range(4):
        answer = server.post(f"/series/{ct}/derive", json={"Pipeline": "rude", "Parameters": {"How": "memory"}})
        assert answer.status_code == 500 and "memory" in answer.json()["Message"]
    before = workers(server)
    for _ in range(4):
        assert derive(server, ct, Pipeline="rude", Parameters={"How": "thread that raises"})["InstancesCount"] == 3
    assert workers(server) == before


def test_orthanc_stops_in_order_after_all_that(server: OrthancServer, ct: str) -> None:
    submit(server, ct, Pipeline="rude", Parameters={"How": "thread that never ends"})
    submit(server, ct, Pipeline="rude", Parameters={"How": "endless native code"})
    time.sleep(0.5)
    began = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - began < 5
    assert server.survivors == []
    server.start()
    for job in all_jobs(server):
        server.post(f"/derived-series/jobs/{job['ID']}/cancel")
    assert server.get("/system").status_code == 200
