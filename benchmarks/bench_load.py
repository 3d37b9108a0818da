"""What Orthanc's other clients notice of derivations, and what a second worker brings."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench_data import COLUMNS, ROWS
from bench_probe import PAUSE_SECONDS, ROUTES, Latencies, computing, copying, probing
from bench_server import (
    ALGORITHM,
    PARAMETERS,
    PIPELINE,
    SMOOTHING,
    Stored,
    finished,
    keep_only,
    orthanc,
    processor_seconds,
    submit,
    upload,
    wait,
)
from bench_tables import Table, Target, interleaved, percentile, ratio, spread
from bench_through import CONNECTIONS
from derived_series.jobs.pool.process import NICENESS
from orthanc_server import OrthancServer

_AT_ONCE = 4
_JOBS = 8
_IDLE, _COPY, _COPIES = "idle", "1 x copy, by single requests", f"{_AT_ONCE} x copy"
_COMPUTING = f"{_AT_ONCE} x computing"


def latency(slices: int, seconds: float) -> tuple[Table, list[Target]]:
    """Measure how long Orthanc takes to answer under several loads. :param seconds: the least time for each load."""
    with orthanc(workers=_AT_ONCE) as server:
        states = _states(server, upload(server, slices), seconds)
    loaded = [state for state in states if state not in (_IDLE, _COMPUTING, _COPY, _COPIES)]

    def p99(state: str, route: str) -> float:
        return percentile(states[state][route], 99)

    rows = [
        (
            state,
            route,
            f"{len(states[state][route]):,}",
            f"{percentile(states[state][route], 50) * 1e3:.2f}",
            f"{p99(state, route) * 1e3:.2f}",
            f"{p99(state, route) / p99(_IDLE, route):.2f}x",
            f"{p99(state, route) / p99(_COPIES, route):.2f}x",
        )
        for state, route in itertools.product(states, ROUTES)
    ]
    table = Table(
        f"4. Answers of Orthanc while {_AT_ONCE} derivations of {slices} slices run, ms",
        ("state", "GET", "answers", "p50", "p99", "p99 to idle", "p99 to the copies"),
        tuple(rows),
        (
            f"One client asks every {PAUSE_SECONDS * 1e3:.0f} ms over one connection. `Workers` is {_AT_ONCE}, so that "
            f"{_AT_ONCE} derivations do run at a time; another begins when one ends. The copies are {_AT_ONCE} other "
            "processes that copy series of the same size through Orthanc without the plugin: what storing does alone. "
            "The single copy has never more than one request under way: the least that anything that stores can do. "
            f"Computing are {_AT_ONCE} processes, as nice as the workers, that only compute and know nothing of "
            "Orthanc: what any work on all processors of this machine does alone.",
        ),
    )
    targets = [
        Target(
            f"(4) p99 of GET {route} under {_AT_ONCE} derivations to idle", 3,
            max(p99(state, route) for state in loaded) / p99(_IDLE, route),
        )
        for route in ROUTES
    ]  # fmt: skip
    return table, targets


def _states(server: OrthancServer, parent: Stored, seconds: float) -> dict[str, Latencies]:
    states: dict[str, Latencies] = {}
    wait(server, [submit(server, parent, PIPELINE) for _ in range(_AT_ONCE)])  # every worker has started
    with probing(server.url) as states[_IDLE]:
        time.sleep(seconds)
    with computing(_AT_ONCE, NICENESS), probing(server.url) as states[_COMPUTING]:
        time.sleep(seconds)
    for state, copies, connections in ((_COPY, 1, 1), (_COPIES, _AT_ONCE, CONNECTIONS)):
        keep_only(server, parent)
        with ExitStack() as stack:
            for number in range(copies):
                stack.enter_context(copying(server.url, parent, f"{state} {number}", connections))
            with probing(server.url) as states[state]:
                time.sleep(seconds)
    for pipeline in (PIPELINE, SMOOTHING):
        keep_only(server, parent)
        with probing(server.url) as states[f"{_AT_ONCE} x {pipeline}"]:
            _keep_busy(server, parent, pipeline, seconds)
    return states


def _keep_busy(server: OrthancServer, parent: Stored, pipeline: str, seconds: float) -> None:
    running = [submit(server, parent, pipeline) for _ in range(_AT_ONCE)]
    deadline = time.monotonic() + seconds
    while running:
        time.sleep(0.05)
        ended = [job for job in running if finished(server, [job])]
        running = [job for job in running if job not in ended]
        if time.monotonic() < deadline:
            running += [submit(server, parent, pipeline) for _ in ended]


def workers(slices: int, rounds: int) -> tuple[Table, list[Target]]:
    """Eight derivations with one worker and with two."""
    rows = []
    measured = {}
    with orthanc(workers=1) as one, orthanc(workers=2) as two:
        servers = {"1 worker": (one, upload(one, slices)), "2 workers": (two, upload(two, slices))}
        for pipeline in (ALGORITHM, SMOOTHING, PIPELINE):
            busy: list[float] = []
            calls: dict[str, Callable[[], object]] = {
                "1 worker": partial(_all, *servers["1 worker"], pipeline),
                "2 workers": partial(_timed_all, *servers["2 workers"], pipeline, busy),
            }
            seconds = interleaved(calls, rounds, between=partial(_clean, servers))
            measured[pipeline] = ratio(seconds, "1 worker", "2 workers")
            most = statistics.median(seconds["1 worker"]) / (statistics.median(busy) / (os.cpu_count() or 1))
            for name, times in seconds.items():
                bound = f"{most:.2f}x" if name == "2 workers" else ""
                rows.append((pipeline, name, spread(times), f"{ratio(seconds, '1 worker', name):.2f}x", bound))
    sigma = PARAMETERS[SMOOTHING]["SigmaMm"]
    table = Table(
        f"5. {_JOBS} derivations of {slices} x {ROWS} x {COLUMNS} slices",
        ("pipeline", "workers", "seconds, median (least-most)", "speed to 1 worker", "at most"),
        tuple(rows),
        (
            f"All {_JOBS} are submitted at once and waited for. `{ALGORITHM}` computes for seconds, as models do; "
            f"`{SMOOTHING}` (sigma {sigma:g} mm) for about as long as its result takes to be stored; `{PIPELINE}` does "
            "next to nothing but keep Orthanc storing, which is one Orthanc for all workers.",
            "`at most` is the speed with no processor ever idle: those of the machine over the processor seconds that "
            "Orthanc and its two workers used. It tells something on a machine that does nothing else.",
        ),
    )
    targets = [
        Target(f"(5) {_JOBS} x {pipeline}: speed of 2 workers to 1", 1.7, measured[pipeline], at_least=True)
        for pipeline in (ALGORITHM, SMOOTHING)
    ]
    return table, targets


def _all(server: OrthancServer, parent: Stored, pipeline: str) -> None:
    wait(server, [submit(server, parent, pipeline) for _ in range(_JOBS)])


def _timed_all(server: OrthancServer, parent: Stored, pipeline: str, busy: list[float]) -> None:
    before = processor_seconds(server.pid, *server.children())
    _all(server, parent, pipeline)
    busy.append(processor_seconds(server.pid, *server.children()) - before)


def _clean(servers: dict[str, tuple[OrthancServer, Stored]]) -> None:
    for server, parent in servers.values():
        keep_only(server, parent)
