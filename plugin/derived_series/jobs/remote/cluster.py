"""A cluster of workers on other machines: its configuration, and the connected workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from derived_series.jobs.remote.versions import Strictness


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
