"""A client that asks Orthanc again and again, and clients that copy series, each in a process of its own."""

from __future__ import annotations

import http.client
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from bench_data import parent_files
from bench_server import Stored
from bench_through import copy

#: A route of Orthanc itself, and one of the plugin's that does next to nothing.
ROUTES = ("/system", "/derived-series/factories")
PAUSE_SECONDS = 0.005

#: Seconds of each answer, by route.
Latencies = dict[str, list[float]]

_SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def probing(url: str) -> Iterator[Latencies]:
    """Ask all routes in turns, every few milliseconds; the figures are there at the end."""
    latencies: Latencies = {}
    with _process(_probe, url) as pipe:
        yield latencies
        pipe.send("stop")
        latencies.update(pipe.recv())


@contextmanager
def copying(url: str, parent: Stored, name: str, connections: int) -> Iterator[None]:
    """Copy a series through Orthanc again and again, so many requests at a time."""
    with _process(_copy, url, parent, name, connections) as pipe:
        yield
        pipe.send("stop")
        pipe.recv()


@contextmanager
def _process(function: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()  # it is ready
        yield ours
    finally:
        process.join(60)
        process.kill()


def _probe(pipe: Connection, url: str) -> None:
    latencies: Latencies = {route: [] for route in ROUTES}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    pipe.send("ready")
    for route in itertools.cycle(ROUTES):
        if pipe.poll(PAUSE_SECONDS):
            break
        started = time.perf_counter()
        connection.request("GET", route, headers={"Accept-Encoding": "identity"})
        answer = connection.getresponse()
        answer.read()
        latencies[route].append(time.perf_counter() - started)
        if answer.status != 200:
            raise AssertionError(f"GET {route}: {answer.status}")
    connection.close()
    pipe.send(latencies)


@contextmanager
def computing(processes: int, niceness: int) -> Iterator[None]:
    """Processes that compute without end, and have nothing to do with Orthanc."""
    with ExitStack() as stack:
        pipes = [stack.enter_context(_process(_compute, niceness)) for _ in range(processes)]
        yield
        for pipe in pipes:
            pipe.send("stop")


def _compute(pipe: Connection, niceness: int) -> None:
    os.nice(niceness)
    values = np.ones(1 << 20)
    pipe.send("ready")
    while not pipe.poll():
        for _ in range(100):
            np.multiply(values, 1.0, out=values)


def _copy(pipe: Connection, url: str, parent: Stored, name: str, connections: int) -> None:
    ready = list(parent_files(parent.slices, series=name))
    pipe.send("ready")
    for turn in itertools.count():
        if pipe.poll():
            break
        copy(url, parent, [_renamed(data, turn) for data in ready], connections)
    pipe.send("done")


def _renamed(data: bytes, turn: int) -> bytes:
    """The file with other instance and series UIDs: what is stored already would not be stored again."""
    header = dcmread(DicomBytesIO(data), stop_before_pixels=True)
    for uid in (header.SOPInstanceUID.encode(), header.SeriesInstanceUID.encode()):
        data = data.replace(uid, uid[:-6] + b"%06d" % turn)
    return data
