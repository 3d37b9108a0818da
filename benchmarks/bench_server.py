"""Orthancs to measure on: each with an empty storage in the temporary folder, the plugin, and a cheap pipeline."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from bench_data import parent_files
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.stow import Part10, store
from orthanc_server import REPOSITORY, OrthancServer, merged

SECONDS = 1800.0

#: Its image is the parent's at half the values: floats that are not whole, next to no time to make.
HALVING = '''"""Half of the parent's values."""

import numpy as np

from derived_series.pipelines import Input, Parameters, Pipeline


class Halving(Pipeline):
    """Half of the parent's values, as float32."""

    input = {"image": Input}
    parameters = Parameters

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"]

    def process(self, input_container):
        values = input_container["image"].voxels()
        return np.multiply(values, np.float32(0.5), out=values)
'''

#: One that computes for seconds, as algorithms do.
MEDIAN = '''"""The median of 5 x 5 pixels."""

from scipy import ndimage

from derived_series.pipelines import Input, Parameters, Pipeline


class Median(Pipeline):
    """The median of 5 x 5 pixels of each slice."""

    input = {"image": Input}
    parameters = Parameters

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"]

    def process(self, input_container):
        return ndimage.median_filter(input_container["image"].voxels(), size=(1, 5, 5))
'''
PIPELINE, ALGORITHM = "halving", "median"
#: One that computes for a while.
SMOOTHING = "gaussian_smoothing"
PARAMETERS = {SMOOTHING: {"SigmaMm": 3.0}}


@dataclass(frozen=True, slots=True)
class Stored:
    """A parent in Orthanc."""

    orthanc_id: str
    study_instance_uid: str
    series_instance_uid: str
    slices: int


@contextmanager
def orthanc(
    workers: int = 2, changes: Mapping[str, Any] = MappingProxyType({}), *, storage: Path | None = None
) -> Iterator[OrthancServer]:
    """A running Orthanc; it is stopped and its storage deleted afterwards.

    :param changes: of its configuration. :param storage: what is in its storage at the beginning.
    """
    with tempfile.TemporaryDirectory(prefix="derived-series-bench-") as name:
        folder = Path(name)
        pipelines = folder / "pipelines"
        pipelines.mkdir()
        (pipelines / f"{PIPELINE}.py").write_text(HALVING)
        (pipelines / f"{ALGORITHM}.py").write_text(MEDIAN)
        folders = [str(REPOSITORY / "blueprints"), str(pipelines)]
        section = {"DerivedSeries": {"BlueprintFolders": folders, "Workers": workers}}
        server = OrthancServer(folder, merged(section, changes))
        if storage is not None:
            subprocess.run(["cp", "-a", storage, folder / "storage"], check=True)
        try:
            server.start()
            server.json("/derived-series/status")
            yield server
        finally:
            server.close()


def upload(server: OrthancServer, slices: int, *, series: str = "bench") -> Stored:
    """Store a parent by STOW-RS as it is made: no more than a few instances are in memory."""
    uids: list[tuple[str, str]] = []

    def parts() -> Iterator[Part10]:
        for data in parent_files(slices, series=series):
            header = dcmread(DicomBytesIO(data), stop_before_pixels=True)
            uids.append((str(header.StudyInstanceUID), str(header.SeriesInstanceUID)))
            yield Part10(str(header.SOPInstanceUID), data)

    first = dcmread(DicomBytesIO(next(parent_files(1, series=series))), stop_before_pixels=True)
    with Client(Connection(server.url)) as client:
        store(client, str(first.StudyInstanceUID), parts())
    (study, uid) = uids[0]
    resources = server.json("/tools/lookup", "POST", data=uid)
    return Stored(next(item["ID"] for item in resources if item["Type"] == "Series"), study, uid, slices)


def derive(server: OrthancServer, parent: Stored, pipeline: str = PIPELINE) -> Any:
    """A derivation that is waited for; its answer."""
    body = {"Pipeline": pipeline}
    return server.json(f"/series/{parent.orthanc_id}/derive", "POST", json=body, timeout=SECONDS)


def derive_image(server: OrthancServer, parent: Stored, image: bytes) -> Any:
    """The same with an image that was made elsewhere, a .npy file."""
    return server.json(f"/series/{parent.orthanc_id}/derive/ct/numpy", "POST", data=image, timeout=SECONDS)


def submit(server: OrthancServer, parent: Stored, pipeline: str) -> str:
    """Begin a derivation; the path of its job."""
    body = {"Pipeline": pipeline, "Parameters": PARAMETERS.get(pipeline, {}), "Asynchronous": True}
    return str(server.json(f"/series/{parent.orthanc_id}/derive", "POST", json=body)["Path"])


def finished(server: OrthancServer, jobs: list[str]) -> bool:
    """Whether all jobs have ended; an AssertionError when one has failed."""
    states = [server.json(job) for job in jobs]
    for state in states:
        if state["State"] == "Failure":
            raise AssertionError(f"a derivation failed: {state}")
    return all(state["State"] == "Success" for state in states)


def wait(server: OrthancServer, jobs: list[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not finished(server, jobs):
        if time.monotonic() > deadline:
            raise AssertionError(f"the derivations did not end in {SECONDS:.0f} s")
        time.sleep(0.02)


def keep_only(server: OrthancServer, *parents: Stored) -> None:
    """Delete all other series."""
    for series in server.series_ids() - {parent.orthanc_id for parent in parents}:
        server.json(f"/series/{series}", "DELETE", timeout=SECONDS)


def processor_seconds(*pids: int) -> float:
    """What processes have used so far, in user and system mode (proc(5), stat)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
