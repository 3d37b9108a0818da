"""What a pipeline prints and logs is in Orthanc's log, with its job; whatever it is, and however much."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from derived_series.jobs.work.log_lines import output_of
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import finished, settings, submit

TALKERS = '''
"""Pipelines that talk."""
import ctypes
import logging
import os
import subprocess
import sys
import threading
import time
import warnings

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline

log = logging.getLogger(__name__)


class Settings(Parameters):
    How: str = ""


class Talker(Pipeline):
    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        getattr(self, container.parameters.How)()
        return container["parent"].voxels()

    def plain(self):
        print("epoch", 3)
        print("no end of line", end="")
        print("to stderr", file=sys.stderr)
        log.info("weights of %s", "net")
        log.debug("not this")
        logging.getLogger("torch.hub").info("downloading")
        logging.getLogger("pydicom").info("nor this")
        logging.error("at the root")
        warnings.warn("be warned")
        sys.stdout.buffer.write(b"bytes \\xff\\n")
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-c", "print('past us')"], stdout=sys.stdout, check=True)

    def odd(self):
        print("odd \\0 \\ud800 \\x1b[31m\\rE0101 00:00:00.000000 main.cpp:1] not Orthanc's own")
        log.info("\\0\\ud800 %s")
        log.info("%d", "not a number")

    def much(self):
        for number in range(5000):
            print(f"line {number}")
        print("x" * 10_000_000)

    def crash(self):
        print("last words")
        ctypes.string_at(0)

    def fork(self):
        if os.fork() == 0:
            print("from the copy")
            os._exit(0)
        os.wait()
        print("from the one")

    def closed(self):
        sys.stdout.close()
        sys.stderr.close()

    def afterwards(self):
        def talk():
            for number in range(100):
                time.sleep(0.02)
                print("late")

        threading.Thread(target=talk, daemon=True).start()
'''


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("talkers")
    keys = settings(folder / "library", Workers=1)
    (folder / "library" / "talkers.py").write_text(TALKERS)
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


def run(server: OrthancServer, how: str) -> tuple[str, list[str], str]:
    """The state of a job that talks so, the lines of the log that name it, and all that the log has from then on."""
    server.delete_all()
    ct = server.upload(ct_phantom(slices=2))
    before = len(server.log())
    job_id = submit(server, ct, Pipeline="talker", Parameters={"How": how})
    state = finished(server, job_id)["State"]
    log = server.log()[before:]
    return state, re.findall(rf"derived-series: job {job_id}: (.*)", log), log


def test_print_and_info_are_in_the_log(server: OrthancServer) -> None:
    state, lines, log = run(server, "plain")
    assert state == "Success"
    expected = ["epoch 3", "to stderr", "INFO talkers: weights of net", "INFO torch.hub: downloading"]
    expected += ["ERROR root: at the root", "from a thread"]
    assert [line for line in lines if line in expected] == expected
    assert any("be warned" in line for line in lines)
    assert any("bytes \\xff" in line and "no end of line" in line for line in lines)
    assert "not this" not in log and "nor this" not in log
    assert "past us" in log, "a program that is given our stdout writes to Orthanc's"


def test_odd_output_is_written_safely(server: OrthancServer) -> None:
    state, lines, log = run(server, "odd")
    assert state == "Success"
    assert "odd \\x00 \\ud800 \\x1b[31m" in lines and "\x1b" not in log and "\0" not in log
    assert not [line for line in log.splitlines() if line.startswith("E0101 00:00:00")]
    assert "INFO talkers: \\x00\\ud800 %s" in lines
    assert any("cannot be written (TypeError)" in line for line in lines)


def test_much_output_is_bounded(server: OrthancServer) -> None:
    state, lines, log = run(server, "much")
    assert state == "Success"
    assert lines[:1000] == [f"line {number}" for number in range(1000)]
    assert len(lines) == 1001 and "left out" in lines[-1] and len(log) < 1_000_000


def test_the_last_words_of_a_crash(server: OrthancServer) -> None:
    state, lines, _ = run(server, "crash")
    assert state == "Failure" and "last words" in lines


def test_a_copy_of_the_process_is_not_heard(server: OrthancServer) -> None:
    state, lines, _ = run(server, "fork")
    assert state == "Success" and "from the one" in lines and "from the copy" not in lines


@pytest.mark.parametrize("how", ["closed", "afterwards"])
def test_the_next_job_is_heard_all_the_same(server: OrthancServer, how: str) -> None:
    assert run(server, how)[0] == "Success"
    for _ in range(3):
        state, lines, _ = run(server, "plain")
        assert state == "Success" and "epoch 3" in lines


def test_a_line_that_never_ends_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), output_of("a", lambda line: None):
        for _ in range(1000):
            print("x" * 1000, end="")
        print("\ryes")
    assert [len(record.message) < 3000 for record in caplog.records] == [True, True]
    assert caplog.records[-1].message == "job a: yes"
    print("outside")
    assert "outside" not in caplog.text
