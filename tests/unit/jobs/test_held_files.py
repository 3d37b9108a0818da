"""Large instances that pages read frames of: which files are held, and for how long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import NotFound
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.scratch import remove_unused
from derived_series.jobs.work import held_files
from derived_series.jobs.work.held_files import LARGE_BYTES, held_file
from derived_series.orthanc.periodic import Periodic
from waiting import soon


class Answer:
    def __init__(self, data: bytes, broken: bool):
        self._data, self._broken = data, broken

    def iter_content(self, size: int) -> Iterator[bytes]:
        for start in range(0, len(self._data), size):
            yield self._data[start : start + size]
            if self._broken:
                raise requests.exceptions.ChunkedEncodingError("cut off")


class Server:
    """Instances by identifier: (the name of the file that Orthanc stores, its size)."""

    def __init__(self, **stored: tuple[str, int]):
        self.stored = stored
        self.connection = Connection("http://127.0.0.1:1")
        self.fetched: list[str] = []
        self.broken = False

    def get_json(self, path: str) -> Any:
        name = path.rsplit("/", 1)[1]
        if name not in self.stored:
            raise NotFound(name)
        return {"FileUuid": self.stored[name][0], "FileSize": self.stored[name][1]}

    @contextmanager
    def streaming(self, url: str) -> Iterator[Answer]:
        name = url.split("/")[-2]
        self.fetched.append(name)
        yield Answer(self.stored[name][0].encode() * self.stored[name][1], self.broken)


def held(server: Server, name: str, folder: Path) -> Path | None:
    return held_file(cast(Client, server), name, str(folder))


def test_a_large_instance_is_fetched_once_and_a_small_one_is_not_held(tmp_path: Path) -> None:
    server = Server(a=("x", LARGE_BYTES), b=("y", LARGE_BYTES - 1))
    file = held(server, "a", tmp_path)
    assert file is not None and file.stat().st_size == LARGE_BYTES and file.stat().st_mode & 0o077 == 0
    assert held(server, "a", tmp_path) == file and server.fetched == ["a"]
    assert held(server, "b", tmp_path) is None


def test_one_that_was_replaced_or_deleted_is_not_given_out(tmp_path: Path) -> None:
    server = Server(a=("x", LARGE_BYTES))
    former = held(server, "a", tmp_path)
    server.stored["a"] = ("z", LARGE_BYTES)
    file = held(server, "a", tmp_path)
    assert file is not None and file != former and file.read_bytes()[:1] == b"z"
    del server.stored["a"]
    with pytest.raises(NotFound):
        held(server, "a", tmp_path)


def test_one_that_does_not_come_whole_is_not_held(tmp_path: Path) -> None:
    server = Server(a=("x", LARGE_BYTES))
    server.broken = True
    assert held(server, "a", tmp_path) is None and list(tmp_path.iterdir()) == []
    assert held(server, "a", tmp_path / "that is not there") is None


def test_those_that_nobody_asks_for_go_when_another_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(a=("x", LARGE_BYTES), b=("y", LARGE_BYTES), c=("z", LARGE_BYTES), d=("u", LARGE_BYTES))
    first, second = (held(server, name, tmp_path) for name in "ab")
    assert first is not None and second is not None
    os.utime(first, (0, time.time() - 301))
    assert held(server, "c", tmp_path) is not None and not first.exists() and second.exists()
    os.utime(second, (0, time.time() - 10))
    monkeypatch.setattr(held_files, "_MOST_BYTES", 2 * LARGE_BYTES)
    assert held(server, "d", tmp_path) is not None
    assert sorted(file.read_bytes()[:1] for file in tmp_path.iterdir()) == [b"u", b"z"], "the one of longest ago went"


def hold(name: str, folder: str) -> None:
    assert held(Server(a=(name, LARGE_BYTES)), "a", Path(folder)) is not None


def nothing() -> None:
    """Initializes a worker."""


def test_one_that_nobody_asks_for_goes_although_its_worker_has_ended(tmp_path: Path) -> None:
    """So does what a worker that was killed has left of a download, or of a comparison."""
    executor = ProcessExecutor(1, initializer=nothing)
    executor.submit(hold, "old", str(tmp_path)).result(30)
    executor.shutdown()
    (tmp_path / "instance-cut.part").write_bytes(b"half")
    (tmp_path / "compare-x").mkdir()
    (tmp_path / "compare-x" / "file").write_bytes(b"x")
    for file in tmp_path.iterdir():
        os.utime(file, (0, time.time() - 3601))
    hold("new", str(tmp_path / "."))
    (tmp_path / "compare-y").mkdir()
    (tmp_path / "derived-series-job-x").mkdir()
    os.utime(tmp_path / "derived-series-job-x", (0, 0))
    kept = {"instance-new.dcm", "compare-y", "derived-series-job-x"}
    sweep = Periodic("scratch", partial(remove_unused, tmp_path), pause=0.05)
    sweep.start()
    try:
        soon(lambda: {file.name for file in tmp_path.iterdir()} == kept)
    finally:
        sweep.stop()
    remove_unused(tmp_path / "that is not there")
    assert {file.name for file in tmp_path.iterdir()} == kept, "a job's is removed with its job"
