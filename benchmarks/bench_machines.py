"""Workers on other machines, all on this one here: how soon they have a job, what more of them bring, what they cost.

The pipelines sleep, as a GPU lets a processor do: what is measured is how jobs are handed out, not how they compute.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from bench_server import SECONDS, finished, orthanc, processor_seconds
from bench_tables import Table, Target, interleaved, percentile
from dask_cluster import Cluster
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom

#: It writes down when a worker has begun with a job: parameters are checked before anything else.
_NAP = '''"""Sleeps."""

import time
from pathlib import Path
from typing import Any

from pydantic import model_validator

from derived_series.pipelines import Input, Parameters, Pipeline


class NapParameters(Parameters):
    Seconds: float = 0.0
    Mark: str = ""

    @model_validator(mode="after")
    def _begun(self) -> "NapParameters":
        if self.Mark and not Path(self.Mark).exists():
            Path(self.Mark).write_text(repr(time.time()))
        return self


class {name}(Pipeline):
    """Sleeps."""

    input = {{"image": Input}}
    parameters = NapParameters
    {environment}

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"]

    def process(self, input_container):
        time.sleep(input_container.parameters.Seconds)
        return input_container["image"].voxels()
'''
_HERE, _ELSEWHERE = "nap_here", "nap_elsewhere"
_WORKERS = (1, 2, 4)
_SETTLING_SECONDS = 20.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Site:
    """An Orthanc with workers elsewhere, with one series, and one without."""

    cluster: Cluster
    server: OrthancServer
    alone: OrthancServer
    series: str
    marks: Path

    def connected(self, workers: int) -> None:
        """Have so many workers, each of which has a child process that has loaded the pipelines."""
        for number in range(workers):
            if f"w{number}" not in self.cluster.processes:
                self.cluster.start_worker(f"w{number}")
        _until(lambda: self._fitting() == workers, f"{workers} workers are connected")
        self.run([{"Seconds": 0.2}] * 2 * workers)

    def _fitting(self) -> int:
        processes = self.server.json("/derived-series/status")["Environments"]["gpu"]["Processes"]
        return sum(process["Problem"] is None for process in processes)

    def run(self, parameters: list[dict[str, Any]], pipeline: str = _ELSEWHERE) -> None:
        """Have jobs run, all submitted at once."""
        for job in [self.submit(pipeline, each) for each in parameters]:
            _until(partial(finished, self.server, [job]), "a job is done")

    def submit(self, pipeline: str, parameters: dict[str, Any]) -> str:
        """The path of a job."""
        body = {"Pipeline": pipeline, "Parameters": parameters, "Asynchronous": True}
        return str(self.server.json(f"/series/{self.series}/derive", "POST", json=body)["Path"])


@contextmanager
def _site(workers: int) -> Iterator[Site]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="derived-series-bench-")))
        pipelines, marks = folder / "pipelines", folder / "marks"
        for each in (pipelines, marks):
            each.mkdir()
        (pipelines / f"{_HERE}.py").write_text(_NAP.format(name="NapHere", environment=""))
        (pipelines / f"{_ELSEWHERE}.py").write_text(_NAP.format(name="NapElsewhere", environment='environment = "gpu"'))
        cluster = stack.enter_context(Cluster(folder / "cluster"))
        cluster.start_scheduler()
        cluster.start_worker("w0")
        section = {"BlueprintFolders": [str(REPOSITORY / "blueprints"), str(pipelines)]}
        gpu = cluster.environment(Resources={"GPU": 1}, Workers=workers)
        alone = stack.enter_context(orthanc(1, {"DerivedSeries": section}))
        server = stack.enter_context(orthanc(1, {"DerivedSeries": {**section, "Environments": {"gpu": gpu}}}))
        yield Site(cluster, server, alone, server.upload(ct_phantom(3, 32, 32)), marks)


def measure(jobs: int, seconds: float, handed_out: int, idle_seconds: float) -> tuple[list[Table], list[Target]]:
    """Measure workers on other machines.

    :param jobs: of the speed-up, of ``seconds`` each. :param handed_out: jobs that are timed one by one.
    :param idle_seconds: how long to measure the idle processes.
    """
    with _site(max(_WORKERS)) as site:
        site.connected(1)
        site.run([{}] * 2, _HERE)
        idle = _idle(site, idle_seconds)
        delays = _delays(site, handed_out)
        spans = {}
        for workers in _WORKERS:
            site.connected(workers)
            began = time.perf_counter()
            site.run([{"Seconds": seconds}] * jobs)
            spans[workers] = time.perf_counter() - began
    speeds = {workers: spans[1] / span for workers, span in spans.items()}
    p95 = {name: percentile(times, 95) for name, times in delays.items()}
    more = Idle(idle["with"].cpu - idle["without"].cpu, idle["with"].memory - idle["without"].memory)
    return [
        _delays_table(delays),
        _speeds_table(spans, jobs, seconds),
        _idle_table(idle, idle_seconds),
    ], [
        Target("(11) 95 % of jobs are with a worker elsewhere after", 50, p95[_ELSEWHERE] * 1e3, unit=" ms"),
        Target("(11) 95 % of jobs are with a worker of Orthanc's own after", 50, p95[_HERE] * 1e3, unit=" ms"),
        Target("(11a) speed of 2 workers elsewhere to 1", 1.9, speeds[2], at_least=True),
        Target("(11a) speed of 4 workers elsewhere to 1", 3.7, speeds[4], at_least=True),
        Target("(11b) the idle connection, of a core, in Orthanc's process", 1, more.cpu, unit=" %"),
        Target("(11b) the idle connection, in Orthanc's process", 20, more.memory, unit=" MB"),
    ]


# -- how soon a worker has a job -----------------------------------------------------------------------------------


def _delays(site: Site, rounds: int) -> dict[str, list[float]]:
    """Seconds from the acceptance of a job to its start, one job at a time, here and elsewhere in turns."""
    delays: dict[str, list[float]] = {_HERE: [], _ELSEWHERE: []}
    numbers = count()
    interleaved({name: partial(_timed, site, name, numbers, times) for name, times in delays.items()}, rounds)
    return {name: times[1:] for name, times in delays.items()}


def _timed(site: Site, pipeline: str, numbers: Iterator[int], delays: list[float]) -> None:
    mark = site.marks / str(next(numbers))
    job = site.submit(pipeline, {"Mark": str(mark)})
    _until(mark.exists, "a job has begun")
    _until(partial(finished, site.server, [job]), "a job is done")
    delays.append(float(mark.read_text()) - _seconds(site.server.json(job)["CreationTime"]))


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time as jobs tell it."""
    return datetime.strptime(text, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC).timestamp()


def _delays_table(delays: dict[str, list[float]]) -> Table:
    rows = [
        (name, str(len(times)), *(f"{percentile(times, percent) * 1e3:.0f}" for percent in (50, 95, 100)))
        for name, times in (("of Orthanc's own", delays[_HERE]), ("on another machine", delays[_ELSEWHERE]))
    ]
    return Table(
        "11. From the acceptance of a job to its start in a worker that is free, ms",
        ("worker", "jobs", "p50", "p95", "most"),
        tuple(rows),
        (
            "The job has been written to the disk and handed out, and its request is being checked by the worker: all "
            "before the parent is fetched. Elsewhere, dask has carried the errand, and the worker has asked for the "
            "task. Scheduler and workers are on this machine, with TLS.",
        ),
    )


# -- what more workers bring ---------------------------------------------------------------------------------------


def _speeds_table(spans: dict[int, float], jobs: int, seconds: float) -> Table:
    rows = tuple(
        (
            str(workers),
            f"{span:.1f}",
            f"{spans[1] / span:.2f}x",
            f"{(span * workers / jobs - seconds) * 1e3:.0f}",
        )
        for workers, span in spans.items()
    )
    return Table(
        f"11a. {jobs} jobs that sleep for {seconds:g} s, by workers on other machines",
        ("workers", "seconds", "speed to 1 worker", "beyond the sleep, ms a job"),
        rows,
        ("Beyond the sleep are the hand-out, the fetch, the building and the storing of a small series.",),
    )


# -- what the connection costs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Idle:
    """What an idle process uses. :param cpu: percent of a core; :param memory: MB, resident."""

    cpu: float
    memory: float


def _idle(site: Site, seconds: float) -> dict[str, Idle]:
    """What idle processes use."""
    time.sleep(_SETTLING_SECONDS)
    (bridge,) = (pid for pid in site.server.children() if "remote.bridge" in _command(pid))
    processes = {"without": site.alone.pid, "with": site.server.pid, "bridge": bridge}
    before = {name: processor_seconds(pid) for name, pid in processes.items()}
    time.sleep(seconds)
    return {
        name: Idle(100 * (processor_seconds(pid) - before[name]) / seconds, _resident(pid))
        for name, pid in processes.items()
    }


def _idle_table(idle: dict[str, Idle], seconds: float) -> Table:
    names = {
        "without": "Orthanc's process, without an environment elsewhere",
        "with": "Orthanc's process, with one",
        "bridge": "the process that speaks to dask",
    }
    rows = tuple((names[name], f"{each.cpu:.2f}", f"{each.memory:.1f}") for name, each in idle.items())
    return Table(
        "11b. What an idle connection to a scheduler costs",
        ("process", "% of a core", "MB"),
        rows,
        (f"Over {seconds:g} s, of both Orthancs at the same time; MB are resident.",),
    )


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {SECONDS:.0f} s: {what}")
        time.sleep(_POLL_SECONDS)
