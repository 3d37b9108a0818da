"""Pipelines of other Pythons in a real Orthanc, models that stay loaded, and commands whose jobs are cancelled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import container_images
from building import real
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive, finished, submit, until
from test_environments import PLUGIN, make_python
from waiting import soon
from wheels import build_wheel, install, pretend_version

ELSEWHERE = '''
"""Pipelines that cannot be loaded in Orthanc's own Python."""
import os
from pathlib import Path

import contradiction
import only_there

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Where(Parameters):
    Path: str = ""


class Elsewhere(Pipeline):
    """Adds what only its own Python has."""

    environment = "other"
    parameters = Where

    def prepare(self):
        self.model = only_there.VALUE
        with open(os.environ["PREPARED"], "a") as file:
            file.write(f"{os.getpid()}\\n")

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("plus", "PixelByPixelAddition")

    def process(self, container):
        print(f"contradiction {contradiction.__version__}")
        assert not hasattr(self, "job")
        self.job = "of this patient alone"
        return container["parent"].voxels() + self.model
'''

HERE = '''
"""Pipelines of Orthanc's own Python, and one of an environment that is not there."""
import contradiction

from derived_series import derivation
from derived_series.pipelines import CommandPipeline, ContainerPipeline, Input, Output, Parameters, Pipeline


class Here(Pipeline):
    """One more."""

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("plus", "PixelByPixelAddition")

    def process(self, container):
        print(f"contradiction {contradiction.__version__}")
        return container["parent"].voxels() + 1


class Moved(Here):
    """The configuration says where it runs."""

    def process(self, container):
        import only_there

        return container["parent"].voxels() + only_there.VALUE


class Nowhere(Here):
    """Its environment is not configured."""

    environment = "nowhere"


class Stale(Here):
    """Its environment has another version of the package."""

    environment = "stale"


class Broken(Here):
    """Its environment has no Python."""

    environment = "broken"


class Counting(Parameters):
    Until: str = ""


COUNT = """
echo "reading $1"
printf ' 50%%|#####     | 1/2 [00:01<00:01,  1.0s/it]\\r'
while ! test -f "$3"; do sleep 0.1; done
cp "$1" "$2"
"""

counting = CommandPipeline(
    command=["sh", "-c", COUNT, "count", "{ct}", "{out}/again.nii.gz", "{Until}"],
    input={"ct": Input(as_="nifti", file="case.nii.gz")},
    parameters=Counting,
    outputs={"again": Output("ct")},
    files={"again": "again.nii.gz"},
)


class Waiting(CommandPipeline):
    """A command that takes its time."""

    input = {"ct": Input}
    command = ["sh", "-c", "setsid sleep 613 & touch $0/begun; sleep 613", "{folder}"]
    outputs = {"seg": Output("segmentation")}
    files = {"seg": "seg.nii.gz"}


class Contained(ContainerPipeline):
    """A container that takes its time."""

    engine = "podman"
    image = "localhost/waiting"
    input = {"ct": Input}
    command = ["/bin/sh", "-c", "sleep 617 & touch /out/begun; sleep 617"]
    outputs = {"seg": Output("segmentation")}
    files = {"seg": "seg.nii.gz"}
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module")
def server(orthanc_installed: None, folder: Path) -> Iterator[OrthancServer]:
    """An Orthanc with two Pythons that have contradicting versions of a package."""
    for name, version in (("ours", "2.4.6"), ("theirs", "1.26.4")):
        (folder / name).mkdir()
        (folder / name / "contradiction.py").write_text(f"__version__ = {version!r}\n")
    (folder / "theirs" / "only_there.py").write_text("VALUE = 41\n")
    wheel = build_wheel(folder)
    python, stale = (make_python(folder / name, folder / "theirs") for name in ("venv", "stale"))
    for each in (python, stale):
        install(wheel, each)
    pretend_version(stale, "0.0.9")
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / "elsewhere.py").write_text(ELSEWHERE)
    (pipelines / "here.py").write_text(f"import sys\nsys.path.append({str(folder / 'ours')!r})\n{HERE}")
    section = {
        "Workers": 1,
        "BlueprintFolders": [str(PLUGIN.parent / "blueprints"), str(pipelines)],
        "Environments": {
            "other": {"Python": str(python), "Resources": {"GPU": 1}},
            "stale": {"Python": str(stale)},
            "broken": {"Python": str(folder / "no" / "python")},
        },
        "Pipelines": {"moved": {"Environment": "other"}},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREPARED", str(folder / "prepared"))
        for name, value in container_images.variables(folder).items():
            patch.setenv(name, value)
        storage = folder / "orthanc"
        storage.mkdir()
        with OrthancServer(storage, {"DerivedSeries": section}) as started:
            yield started


@pytest.fixture(scope="module")
def series(server: OrthancServer) -> str:
    return server.upload(ct_phantom(3, 8, 8))


def voxels(server: OrthancServer, series: str) -> Any:
    return np.array([real(dataset) for dataset in server.download(series)])


def test_a_model_is_loaded_once_for_twenty_jobs(server: OrthancServer, series: str, folder: Path) -> None:
    jobs = [submit(server, series, Pipeline="elsewhere", Parameters={"Path": str(n)}) for n in range(20)]
    ends = [finished(server, each) for each in jobs]
    assert [end["State"] for end in ends] == ["Success"] * 20, [end.get("Error") for end in ends]
    (pid,) = (folder / "prepared").read_text().split()
    assert np.array_equal(voxels(server, ends[0]["Content"]["Result"]["ID"]), voxels(server, series) + 41)
    environment = server.json("/derived-series/status")["Environments"]["other"]
    (process,) = environment["Processes"]
    assert Path(process["Executable"]).is_relative_to(folder / "venv"), "the wheel is installed there, nothing else"
    assert process["Pid"] == int(pid) and process["Resources"] == {"GPU": [0]}
    assert [each["Pipeline"] for each in process["Prepared"]] == ["elsewhere"]
    assert process["Started"] <= process["Prepared"][0]["Since"] and process["Job"] is None and process["Idle"]


def test_contradicting_versions_of_a_package_in_one_orthanc(server: OrthancServer, series: str) -> None:
    for pipeline in ("elsewhere", "here"):
        derive(server, series, Pipeline=pipeline)
    versions = ("contradiction 1.26.4", "contradiction 2.4.6")
    soon(lambda: all(words in server.log() for words in versions))


def test_a_pipeline_is_described_from_where_it_runs(server: OrthancServer, series: str) -> None:
    listed = {each["Name"]: each["Environment"] for each in server.json("/derived-series/pipelines?expand")}
    wanted = {"elsewhere": "other", "moved": "other", "here": None, "nowhere": "nowhere", "broken": "broken"}
    wanted |= {"stale": "stale"}
    assert {name: listed[name] for name in wanted} == wanted
    fitting = {each["Name"]: each["Fits"] for each in server.json(f"/series/{series}/pipelines")}
    assert fitting["elsewhere"] and fitting["moved"] and fitting["here"]
    problems = {each["File"]: each["Message"] for each in server.json("/derived-series/status")["Problems"]}
    named = {"here.py", "Environments: broken", "Environments: stale"}
    assert set(problems) == named, "elsewhere.py is loaded where it runs"
    assert "has version 0.0.9 of derived_series, Orthanc has" in problems["Environments: stale"]
    assert "'nowhere' of pipeline 'nowhere' is not in the configuration" in problems["here.py"]
    assert "cannot be started" in problems["Environments: broken"]


def test_the_configuration_says_where_a_pipeline_runs(server: OrthancServer, series: str) -> None:
    answer = derive(server, series, Pipeline="moved")
    assert np.array_equal(voxels(server, answer["ID"]), voxels(server, series) + 41)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("nowhere", "'nowhere' of pipeline 'nowhere' is not in the"),
        ("broken", "cannot be started"),
        ("stale", "has version 0.0.9 of derived_series, Orthanc has"),
    ],
)
def test_an_environment_that_cannot_be_used_fails_its_jobs(
    server: OrthancServer, series: str, pipeline: str, message: str
) -> None:
    end = finished(server, submit(server, series, Pipeline=pipeline))
    assert end["State"] == "Failure" and message in end["Content"]["Error"]["Message"]


def test_what_a_command_writes_is_progress_and_log_while_it_runs(
    server: OrthancServer, series: str, tmp_path: Path
) -> None:
    running = submit(server, series, Pipeline="counting", Parameters={"Until": str(tmp_path / "go")})
    path = f"/series/{series}/jobs/{running}"
    until(server, running, {"Running"})
    end = time.monotonic() + 60
    while "1/2" not in (job := server.json(path))["Content"].get("Text", ""):
        assert job["State"] == "Running" and time.monotonic() < end, job
        time.sleep(0.05)
    assert job["Progress"] == 55 and job["Content"]["Phase"] == "Processing"
    log = server.json(f"{path}/log")
    assert [line for line in log["Lines"] if "case.nii.gz" in line and "reading" in line]
    assert server.json(f"{path}/log?since={log['Next']}")["Lines"] == []
    (tmp_path / "go").touch()
    result = finished(server, running)["Content"]["Result"]
    assert np.array_equal(voxels(server, result["ID"]), voxels(server, series))


def sleeping(seconds: int) -> list[str]:
    """The processes that sleep as long as no others do."""
    pids = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command.read_bytes() == f"sleep\0{seconds}\0".encode():
                pids.append(command.parent.name)
        except OSError:
            continue
    return pids


@pytest.mark.parametrize(("pipeline", "seconds"), [("waiting", 613), ("contained", 617)])
def test_cancelling_leaves_no_process_and_no_file(
    server: OrthancServer, series: str, folder: Path, pipeline: str, seconds: int
) -> None:
    """Of a command, and of a container."""
    if pipeline == "contained":
        lacking = container_images.missing()
        assert lacking is None, f"{lacking} is not installed: apt-get install podman runc busybox-static"
        container_images.image("waiting", {})
    running = submit(server, series, Pipeline=pipeline)
    until(server, running, {"Running"})
    end = time.monotonic() + 60
    while not list((folder / "orthanc").rglob("begun")) or len(sleeping(seconds)) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert list((folder / "orthanc").rglob("ct.nii.gz"))
    assert len(container_images.containers("localhost/waiting")) == (pipeline == "contained")
    server.post(f"/derived-series/jobs/{running}/cancel")
    assert finished(server, running)["State"] == "Failure"
    scratch = server.jobs_folder / "scratch"

    def left() -> list[object]:
        return [
            *sleeping(seconds),
            *(folder / "orthanc").rglob("ct.nii.gz"),
            *scratch.iterdir(),
            *container_images.containers("localhost/waiting"),
        ]

    end = time.monotonic() + 30
    while left() and time.monotonic() < end:
        time.sleep(0.05)
    assert left() == []
