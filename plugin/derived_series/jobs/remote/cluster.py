"""A cluster of workers on other machines: its configuration, and the connected workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from derived_series.jobs.remote.versions import Strictness, difference


@dataclass(frozen=True, slots=True)
class Cluster:
    """The configuration of an environment on other machines.

    :param scheduler: the address of dask's scheduler, such as ``tls://box:8786``.
    :param ca, certificate, key: files for TLS; empty without TLS.
    :param workers: the most jobs at once. :param resources: the units of each resource that a job claims.
    :param url: the URL at which workers reach Orthanc. :param ca_bundle: the certificates to trust there, in PEM.
    :param lost_after: seconds without a report from a worker after which its job is given to another one.
    :param strictness: which versions must be the same at both ends.
    :param idle: seconds without a job after which a worker releases what its pipelines have prepared.
    """

    scheduler: str
    url: str
    dicomweb_root: str
    store_timeout: float
    ca: str = ""
    certificate: str = ""
    key: str = ""
    workers: int = 1
    resources: Mapping[str, int] = field(default_factory=dict)
    ca_bundle: str | None = None
    lost_after: float = 30.0
    strictness: Strictness = "Same"
    idle: float = 600.0


@dataclass(frozen=True, slots=True)
class RemoteWorker:
    """A worker as the scheduler reports it.

    :param report: its report about itself; None if it runs without our preload.
    :param silent: whether the scheduler has not heard of it for so long that it may be frozen or cut off.
    """

    address: str
    name: str
    resources: Mapping[str, float]
    report: Mapping[str, Any] | None
    threads: int
    silent: bool


@dataclass(frozen=True, slots=True)
class ConnectedWorkers:
    """The workers that the scheduler reports at a moment, and which of them can take jobs.

    :param versions: the versions that run here.
    :param problem: why the scheduler cannot be reached; None if it can.
    """

    cluster: Cluster
    versions: Mapping[str, str]
    workers: tuple[RemoteWorker, ...]
    problem: str | None

    def with_report(self, workers: tuple[RemoteWorker, ...], problem: str | None) -> ConnectedWorkers:
        """The workers of a newer report."""
        return replace(self, workers=workers, problem=problem)

    def refusal(self, worker: RemoteWorker) -> str | None:
        """Why a worker gets no jobs of this environment; None if it does."""
        if worker.silent:
            return "the scheduler hears nothing of it"
        url = self.cluster.url
        unreached = (worker.report or {}).get("Unreached") or {}
        if url in unreached:
            why = unreached[url] if isinstance(unreached, Mapping) else "it has no answer"
            return f"it does not reach Orthanc at {url}: {why}"
        if worker.report is None:
            return "it runs without the plugin's preload: start it by derived-series worker"
        if worker.threads != 1:
            return f"it has {worker.threads} threads, where one job at a time is safe: start it with one"
        lacking = [name for name, count in self.cluster.resources.items() if worker.resources.get(name, 0) < count]
        if lacking:
            return f"it lacks the {', '.join(lacking)} that a job claims"
        return difference(self.versions, worker.report.get("Versions") or {}, self.cluster.strictness)

    @property
    def fitting(self) -> list[RemoteWorker]:
        """The workers that can take jobs."""
        return [worker for worker in self.workers if self.refusal(worker) is None]

    @property
    def addresses(self) -> set[str]:
        """The addresses of all workers."""
        return {worker.address for worker in self.workers}

    @property
    def lack(self) -> str | None:
        """Why no worker can take a job; None if one can."""
        if self.fitting:
            return None
        claimed = ", ".join(name if count == 1 else f"{count} {name}" for name, count in self.cluster.resources.items())
        wanted = f"waits for a worker with {claimed}" if claimed else "waits for a worker"
        if self.problem is not None:
            return f"{wanted}: the scheduler {self.cluster.scheduler} is not reached: {self.problem}"
        if not self.workers:
            return f"{wanted}: none is connected"
        refusals = "; ".join(f"{worker.name}: {self.refusal(worker)}" for worker in self.workers)
        return f"{wanted}: none of those that are connected can take it ({refusals})"

    def differs_from(self, other: ConnectedWorkers) -> bool:
        """Whether a job may find other workers than in an older report, or the scheduler again."""
        return self._takers != other._takers or (self.problem is None) != (other.problem is None)

    @property
    def _takers(self) -> set[tuple[str, str | None]]:
        return {(worker.address, self.refusal(worker)) for worker in self.workers}
