"""Containers as pipelines: what the engine is told, and images of each contract that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

import container_images
import derived_series.pipelines.command as command_module
from building import volume, written
from container_images import ENGINE_OPTIONS, OPTIONS
from derived_series.errors import BlueprintError, UserCodeError
from derived_series.pipelines import ContainerPipeline, Input, MercureModule, MonaiPackage, Output, Parameters, Value
from derived_series.pipelines.engines import ALL_GPUS, ENGINES, Container, Mount, command_line, removal
from derived_series.pipelines.supervised import Command
from installed import not_installed
from test_command_pipelines import CT, run

WHOLE = Container(
    "seg:1",
    "derived-series-1",
    command=["seg", "/in/ct.nii.gz"],
    mounts=[Mount(Path("/jobs/in"), PurePosixPath("/in"), True), Mount(Path("/jobs/out"), PurePosixPath("/out"))],
    env={"A": "b c"},
    user="7:8",
    folder="/work",
    memory_mb=512,
    shared_memory=1 << 30,
    gpus=("1", "3"),
    options=("--ulimit", "nofile=9"),
    engine_options=("--log-level", "error"),
)


def test_the_command_line_of_docker() -> None:
    assert command_line("docker", WHOLE) == [
        *("docker", "--log-level", "error", "run", "--rm", "--name", "derived-series-1", "--network", "none"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "label=disable"),
        *("--mount", "type=bind,source=/jobs/in,target=/in,readonly"),
        *("--mount", "type=bind,source=/jobs/out,target=/out"),
        *("--env", "A=b c", "--user", "7:8", "--workdir", "/work", "--memory", "512m", "--shm-size", "1073741824b"),
        *("--gpus", '"device=1,3"', "--ulimit", "nofile=9", "--entrypoint", "seg", "seg:1", "/in/ct.nii.gz"),
    ]
    assert removal("docker", WHOLE) == [["docker", "--log-level", "error", "rm", "--force", "--volumes", WHOLE.name]]


def test_the_gpus_of_podman_and_an_image_that_says_what_it_runs() -> None:
    line = command_line("podman", Container("seg", "n", gpus=("0",)))
    assert line[-3:] == ["--device", "nvidia.com/gpu=0", "seg"] and "--entrypoint" not in line
    assert command_line("podman", Container("seg", "n", gpus=ALL_GPUS))[-2] == "nvidia.com/gpu=all"
    assert command_line("docker", Container("seg", "n", gpus=ALL_GPUS))[-3:] == ["--gpus", "all", "seg"]
    assert command_line("apptainer", Container("seg", "n", gpus=ALL_GPUS))[-2:] == ["--nv", "seg"]
    for engine in ENGINES:
        of_none = " ".join(command_line(engine, Container("seg", "n")))
        assert not any(each in of_none for each in ("gpu", "--nv", "CUDA"))


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        (None, ALL_GPUS),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("1", ("1",)),
        ("0, 2", ("0", "2")),
        ("3,-1,0", ("3",)),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",)),
    ],
)
def test_a_container_sees_the_gpus_that_its_worker_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: tuple[str, ...]
) -> None:
    """A worker on another machine is told by its service, others by the claim of their environment, if it has any."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    lines: list[list[str]] = []

    def note(command: Command, log: Any) -> None:
        lines.append(list(command.arguments))
        raise UserCodeError("it is not run")

    monkeypatch.setattr(command_module, "run", note)
    for wants in (True, False):
        folder = tmp_path / str(wants)
        folder.mkdir()
        with pytest.raises(UserCodeError, match="it is not run"):
            pipeline = ContainerPipeline(image="x", engine="docker", gpus=wants, files="out.nii", input={"ct": Input()})
            run(pipeline.as_class("mine", __name__, None), folder)
    expected = ["all"] if gpus == ALL_GPUS else [f'"device={",".join(gpus)}"'] if gpus else []
    assert [line[n + 1] for line in lines for n, each in enumerate(line) if each == "--gpus"] == expected


def test_the_command_line_of_apptainer_is_as_its_documents_have_it() -> None:
    assert command_line("apptainer", WHOLE) == [
        *("apptainer", "--log-level", "error", "exec", "--containall", "--cleanenv", "--net", "--network", "none"),
        *("--bind", "/jobs/in:/in:ro", "--bind", "/jobs/out:/out:rw", "--env", "A=b c"),
        *("--env", "CUDA_VISIBLE_DEVICES=1,3", "--pwd", "/work", "--memory", "512M", "--nv", "--ulimit", "nofile=9"),
        *("seg:1", "seg", "/in/ct.nii.gz"),
    ]
    assert command_line("apptainer", Container("seg.sif", "n"))[:2] == ["apptainer", "run"]


def test_an_engine_that_is_not_known_is_told_when_it_is_loaded() -> None:
    with pytest.raises(BlueprintError, match="engine of Wrong is 'lxc'.*podman, docker, apptainer"):
        type("Wrong", (ContainerPipeline,), {"image": "x", "engine": "lxc", "files": "a.nii"})


# -- images that run ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images() -> None:
    lacking = container_images.missing()
    if lacking is not None:
        not_installed(lacking, "apt-get install podman runc busybox-static")


class Sized(Parameters):
    Text: str = "a b"


def plain(script: str, **attributes: Any) -> type[ContainerPipeline]:
    """A pipeline of an image that runs a script."""
    values = {
        "image": container_images.image("derived-series-plain", {"run.sh": script}),
        "engine": "podman",
        "engine_options": ENGINE_OPTIONS,
        "options": OPTIONS,
        "input": {"ct": Input},
        "parameters": Sized,
        "command": ["/bin/sh", "/run.sh", "{ct}", "{out}", "{Text}"],
        "outputs": {"again": Output("ct")},
        "files": {"again": "again.nii.gz"},
        **attributes,
    }
    return type("Plain", (ContainerPipeline,), values)


def test_a_container_reads_and_writes_files(images: None, tmp_path: Path) -> None:
    lines: list[str] = []
    script = 'echo "$1 $2 $3 $(id -u) $HOME"; ls /sys/class/net; cp $1 $2/again.nii.gz; touch /in/x || echo read-only'
    (series,) = run(plain(script), tmp_path, log=lines.append).series.values()
    assert np.array_equal(volume(series), CT.voxels())
    assert f"/in/ct.nii.gz /out a b {os.getuid()} /tmp" in lines
    assert "lo" in lines and not [line for line in lines if line.startswith("eth")], "there is no network"
    assert "read-only" in lines
    assert container_images.containers() == []


def test_what_a_container_says_and_its_exit_status_are_in_the_error(images: None, tmp_path: Path) -> None:
    with pytest.raises(
        UserCodeError, match=r"(?s)image 'localhost/derived-series-plain' ended with exit status 9.*lost"
    ):
        run(plain("echo lost; exit 9"), tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(UserCodeError, match=r"(?s)exit status 125.*derived-series-nowhere") as failure:
        run(plain("", image="localhost/derived-series-nowhere", options=(*OPTIONS, "--pull=never")), tmp_path / "b")
    assert "podman pull localhost/derived-series-nowhere" in str(failure.value.remedy)
    assert container_images.containers() == []


_KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_containers import plain, run
run(plain('touch /out/begun; sleep 600 & sleep 600'), Path(sys.argv[1]))
"""


def sleeping() -> list[str]:
    names = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"sleep\0" + b"600\0" == command.read_bytes()[-10:]:
                names.append(command.parent.name)
        except OSError:
            continue
    return names


def test_a_killed_worker_leaves_no_container_no_process_and_no_file(images: None, tmp_path: Path) -> None:
    import signal

    folder, before = tmp_path / "scratch", set(sleeping())
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(folder), *sys.path], start_new_session=True) as worker:
        end = time.monotonic() + 60
        while not (folder / "out" / "begun").exists():
            assert worker.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        assert container_images.containers() and set(sleeping()) - before
        os.killpg(worker.pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while (folder.exists() or container_images.containers() or set(sleeping()) - before) and time.monotonic() < end:
        time.sleep(0.1)
    assert container_images.containers() == [] and not set(sleeping()) - before and not folder.exists()


@pytest.mark.parametrize("user", ["image", "4321:4321"])
def test_only_root_runs_containers_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    """What another user has written could not be removed, the patient's data among it."""
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    mine = ContainerPipeline(image="x", engine="podman", user=user, files="out.nii", input={"ct": Input()})
    with pytest.raises(UserCodeError, match=f"would run as '{user}', and leave files that only root can remove"):
        run(mine.as_class("mine", __name__, None), tmp_path)


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    """Podman's service, which answers as docker's does."""
    address = f"unix://{tmp_path}/podman.sock"
    command = ["podman", *ENGINE_OPTIONS, "system", "service", "--time=0", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        end = time.monotonic() + 20
        while not (tmp_path / "podman.sock").exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield address
        service.terminate()


def test_docker_runs_it_against_podmans_socket(
    images: None, tmp_path: Path, socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", socket)
    folder = tmp_path / "job"
    folder.mkdir()
    lines: list[str] = []
    script = 'echo "$3 $(id -u)"; cp $1 $2/again.nii.gz'
    pipeline = plain(script, engine="docker", engine_options=())
    (series,) = run(pipeline, folder, log=lines.append).series.values()
    assert np.array_equal(volume(series), CT.voxels())
    assert f"a b {os.getuid()}" in lines and container_images.containers() == []


#: A module to the letter of mercure's contract: it reads task.json beside the files, whose names begin with the series.
MODULE = """
set -e
test -f "$MERCURE_IN_DIR/task.json" && test -d "$MERCURE_OUT_DIR"
level=$(sed -n 's/.*"Level": "\\([a-z]*\\)".*/\\1/p' "$MERCURE_IN_DIR/task.json")
for file in "$MERCURE_IN_DIR"/*#*.dcm; do
  name=${file##*/}
  sed 's/ORIGINAL/DERIVED\\\\/' "$file" >"/tmp/$name"
  cp "/tmp/$name" "$MERCURE_OUT_DIR/$name"
done
echo "level $level of $(ls "$MERCURE_IN_DIR" | wc -l) as $(id -u) in $MERCURE_IN_DIR $HOLOSCAN_INPUT_PATH"
echo '{"volume": 12.5, "name": "x", "__mercure_notification": {"text": "look here", "requested": true}}' \\
  >"$MERCURE_OUT_DIR/result.json"
"""


class Settings(Parameters):
    Level: str = "low"


def test_a_module_of_mercure_runs_unchanged(images: None, tmp_path: Path) -> None:
    class Module(MercureModule):
        image = container_images.image(
            "derived-series-mercure", {"run.sh": MODULE}, {"ENTRYPOINT": ["/bin/sh", "/run.sh"]}
        )
        engine = "podman"
        engine_options, options = ENGINE_OPTIONS, OPTIONS
        parameters = Settings
        settings = {"Other": 3}

    lines: list[str] = []
    results = run(Module, tmp_path, {"Level": "high"}, log=lines.append)
    (series,) = results.series.values()
    datasets = written(series)
    assert len(datasets) == len(CT) and np.array_equal(volume(series), CT.voxels())
    assert {str(each.PatientID) for each in datasets} == {str(CT.pivot.PatientID)}
    assert f"level high of {len(CT) + 1} as {os.getuid()} in /tmp/data /tmp/data" in lines
    assert "notification of localhost/derived-series-mercure: look here" in lines
    assert results.values == {"volume": Value(12.5)}
    task = json.loads((tmp_path / "in" / "task.json").read_text())
    assert task["process"]["settings"] == {"Other": 3, "Level": "high"}
    assert task["info"]["uid"] == CT.series_instance_uid and task["id"]


#: As the SDK's packager has written them (scripts/map_manifests.py).
BY_SDK = {name: json.loads((Path(__file__).parent / "package" / f"{name}.json").read_text()) for name in ("app", "pkg")}
APP = {
    "apiVersion": "1.0.0",
    "command": '["/bin/sh", "/opt/holoscan/app/run.sh"]',
    "environment": {"HOLOSCAN_APPLICATION": "/opt/holoscan/app", "LEVEL": "7"},
    "input": {"formats": None, "path": "input"},
    "output": {"format": None, "path": "output"},
    "workingDirectory": "/var/holoscan",
    "timeout": 0,
    "version": "1.0.0",
}
PACKAGE = {"apiVersion": "1.0.0", "resources": {"cpu": 1, "gpu": 0, "memory": "1Gi", "sharedMemory": "64Mi"}}
APPLICATION = """#!/bin/sh
set -e
test "$1" = wait && sleep 613
test "$1" = --config && echo "configured by $2"
echo "$PWD $LEVEL $HOLOSCAN_INPUT_PATH $HOLOSCAN_OUTPUT_PATH $HOLOSCAN_WORKDIR $MONAI_MODELPATH"
mkdir -p "$HOLOSCAN_OUTPUT_PATH/series"
find "$HOLOSCAN_INPUT_PATH" -name '*.dcm' | while read file; do
  sed 's/ORIGINAL/DERIVED\\\\/' "$file" >"$HOLOSCAN_OUTPUT_PATH/series/${file##*/}"
done
"""


def package(name: str, folder: str, app: dict[str, Any], manifest: dict[str, Any] = PACKAGE) -> type[MonaiPackage]:
    files = {
        f"etc/{folder}/app.json": json.dumps(app),
        f"etc/{folder}/pkg.json": json.dumps(manifest),
        "opt/holoscan/app/run.sh": APPLICATION,
    }
    values = {
        "image": container_images.image(name, files, {"ENTRYPOINT": ["/bin/false"]}),
        "engine": "podman",
        "engine_options": ENGINE_OPTIONS,
        "options": OPTIONS,
    }
    return type("Package", (MonaiPackage,), values)


@pytest.mark.parametrize(
    ("folder", "app", "expected_line"),
    [
        (
            "holoscan",
            APP,
            "/var/holoscan 7 /var/holoscan/input /var/holoscan/output /var/holoscan /opt/holoscan/models/",
        ),
        (
            "holoscan",
            BY_SDK["app"],
            "/var/holoscan /var/holoscan/input /var/holoscan/output /var/holoscan /opt/holoscan/models/",
        ),
        (
            "monai",
            {"command": "/bin/sh /opt/holoscan/app/run.sh", "input": {"path": "i"}, "output": {}},
            "/var/monai /var/monai/i /var/monai/output /var/monai /opt/monai/models/",
        ),
    ],
)
def test_a_monai_application_package_runs_unchanged(
    images: None, tmp_path: Path, folder: str, app: dict[str, Any], expected_line: str
) -> None:
    """Its command, folders and variables are those of its manifests; its entry point is not run."""
    lines: list[str] = []
    (series,) = run(package(f"derived-series-map-{folder}", folder, app), tmp_path, log=lines.append).series.values()
    assert len(written(series)) == len(CT) and np.array_equal(volume(series), CT.voxels())
    assert expected_line in [" ".join(line.split()) for line in lines]
    assert container_images.containers() == []


def test_a_package_of_the_sdk_gets_its_time_and_its_configuration(images: None, tmp_path: Path) -> None:
    waits = {**BY_SDK["app"], "command": '["/opt/holoscan/app/run.sh", "wait"]', "timeout": 2}
    folders = [tmp_path / name for name in ("a", "b")]
    for each in folders:
        each.mkdir()
    slow = package("derived-series-map-slow", "holoscan", waits, BY_SDK["pkg"])
    with pytest.raises(UserCodeError, match="the container of the image .* was ended after 2 s"):
        run(slow, folders[0])
    assert container_images.containers() == [] and not sleeping()
    lines: list[str] = []
    configured = package("derived-series-map-slow", "holoscan", {**BY_SDK["app"], "sdk": "holoscan"}, BY_SDK["pkg"])
    run(configured, folders[1], log=lines.append)
    assert "configured by /var/holoscan/app.yaml" in lines


@pytest.mark.parametrize(
    ("resources", "environment", "message"),
    [
        ({"cpu": 100000}, {}, "needs 100000 processors, the machine has"),
        ({"memory": "900000Gi"}, {}, "needs 900000Gi of memory, the machine has"),
        (
            {"gpu": 2},
            {"DERIVED_SERIES_GPU": "1", "CUDA_VISIBLE_DEVICES": "3"},
            "needs 2 GPUs, its worker may use 1",
        ),
        ({"gpu": 1}, {"CUDA_VISIBLE_DEVICES": ""}, "needs 1 GPUs, its worker may use 0"),
    ],
)
def test_a_package_that_needs_more_than_there_is_is_not_run(
    images: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resources: dict[str, Any],
    environment: dict[str, str],
    message: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    greedy = package("derived-series-map-greedy", "holoscan", BY_SDK["app"], {**BY_SDK["pkg"], "resources": resources})
    with pytest.raises(UserCodeError, match=message):
        run(greedy, tmp_path)


def test_a_package_without_manifests_and_one_that_needs_more_memory_are_told(images: None, tmp_path: Path) -> None:
    bare = package("derived-series-map-holoscan", "holoscan", APP)
    with pytest.raises(UserCodeError, match="needs 1Gi of memory, memory_mb is 100.*raise memory_mb"):
        run(type("Small", (bare,), {"memory_mb": 100}), tmp_path)
    plain_image = container_images.image("derived-series-plain", {"run.sh": ""})
    (tmp_path / "b").mkdir()
    with pytest.raises(UserCodeError, match="no manifests app.json and pkg.json in /etc/monai or .*ContainerPipeline"):
        run(type("None_", (bare,), {"image": plain_image}), tmp_path / "b")
