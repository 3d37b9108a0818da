"""Shared by the server tests: pipelines that misbehave, and an Orthanc that has them."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orthanc_server import REPOSITORY, OrthancServer

PIPELINES = '''
"""Pipelines that do what pipelines should not."""
import ctypes
import os
import signal
import time
from pathlib import Path

from derived_series import derivation
from derived_series.pipelines import Input, Parameters, Pipeline


class Settings(Parameters):
    How: str = ""
    Seconds: float = 0.0
    Path: str = ""


class Plain(Pipeline):
    """The parent's own values, after a while."""

    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints[parent.modality.lower()] + derivation("nothing", "Smoothing")

    def process(self, container):
        time.sleep(container.parameters.Seconds)
        return container["parent"].voxels()


class Bad(Plain):
    """Ends in the way that How names."""

    def process(self, container):
        how = container.parameters.How
        if how == "raise":
            raise ValueError("the moon is in the wrong phase")
        if how == "exit":
            raise SystemExit(3)
        if how == "os exit 0":
            os._exit(0)
        if how == "os exit 7":
            os._exit(7)
        if how == "segfault":
            ctypes.string_at(0)
        if how == "abort":
            os.abort()
        if how == "spin":
            while True:
                pass
        if how == "deaf":
            ctypes.PyDLL(None).sleep(600)
        if how == "memory":
            return [bytes(1 << 26) for _ in range(64)]
        if how == "nothing":
            return None
        if how == "shape":
            return container["parent"].voxels()[:, 1:]
        if how == "nan":
            return container["parent"].voxels() * float("nan")
        if how == "killed once":
            marker = Path(container.parameters.Path)
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return container["parent"].voxels()


class Sum(Pipeline):
    """Two inputs."""

    input = {"first": Input, "second": Input}
    parent_input = "first"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("sum", "PixelByPixelAddition")

    def process(self, container):
        return container["first"].voxels() + container["second"].voxels()
'''


def library_folder(folder: Path) -> Path:
    """A blueprint folder with the pipelines, and a file that cannot be loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "misbehaving.py").write_text(PIPELINES)
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    return folder


def settings(folder: Path, **keys: Any) -> dict[str, Any]:
    """The configuration of an Orthanc with the ready blueprints and the pipelines above."""
    folders = [str(REPOSITORY / "blueprints"), str(library_folder(folder))]
    return {"DerivedSeries": {"BlueprintFolders": folders, **keys}}


def npy(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def derive(server: OrthancServer, series: str, **request: Any) -> Any:
    """The answer of a synchronous derivation."""
    return server.json(f"/series/{series}/derive", "POST", json=request)


def submit(server: OrthancServer, series: str, **request: Any) -> str:
    """Submit a job; return its identifier."""
    answer = server.json(f"/series/{series}/derive", "POST", json={"Asynchronous": True, **request})
    assert set(answer) == {"ID", "Path"} and answer["Path"] == f"/series/{series}/jobs/{answer['ID']}"
    return str(answer["ID"])


def job(server: OrthancServer, job_id: str) -> Any:
    return server.json(f"/derived-series/jobs/{job_id}")


def finished(server: OrthancServer, job_id: str, seconds: float = 60) -> Any:
    """The job once it is over."""
    return until(server, job_id, {"Success", "Failure"}, seconds)


def until(server: OrthancServer, job_id: str, states: set[str], seconds: float = 60) -> Any:
    """The job once it is in one of the states; the longer it takes, the less often it is queried."""
    end = time.monotonic() + seconds
    pause = 0.01
    while (current := job(server, job_id))["State"] not in states:
        assert time.monotonic() < end, current
        time.sleep(pause)
        pause = min(0.06, pause * 1.3)
    return current
