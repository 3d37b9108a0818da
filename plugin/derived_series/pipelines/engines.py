"""The command lines of container engines: docker, podman, apptainer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from derived_series.errors import UserCodeError

Engine = Literal["podman", "docker", "apptainer"]
ENGINES: tuple[Engine, ...] = ("podman", "docker", "apptainer")

ALL_GPUS = ("all",)


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this machine that is mounted in the container."""

    source: Path
    target: PurePosixPath
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """A container to run, for any engine.

    :param name: its name, by which it is removed, however its run ends.
    :param command: runs in place of the image's entry point; None runs what the image runs by itself.
    :param user: ``uid:gid``; empty for the image's own.
    :param gpus: their numbers or UUIDs, such as ``("0", "1")``; ``ALL_GPUS`` for all; empty for none.
    :param shared_memory: bytes of /dev/shm.
    :param options: more of the engine's options for a run; :param engine_options: those before "run".
    """

    image: str
    name: str
    command: Sequence[str] | None = None
    mounts: Sequence[Mount] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    folder: str = ""
    network: str = "none"
    memory_mb: int | None = None
    shared_memory: int | None = None
    gpus: Sequence[str] = ()
    options: Sequence[str] = ()
    engine_options: Sequence[str] = ()


def chosen_engine(engine: str) -> Engine:
    """The engine of a pipeline, or the first that is installed. :raises UserCodeError: there is none."""
    for each in ENGINES:
        if each == engine or (not engine and shutil.which(each)):
            return each
    raise UserCodeError(
        f"the container engine {engine!r} is not known" if engine else "no container engine is installed",
        remedy=f"install one of {', '.join(ENGINES)}, and name it as the pipeline's engine",
    )


def command_line(engine: Engine, container: Container) -> list[str]:
    """The engine's arguments that run a container to its end and pass on its output."""
    return _apptainer(container) if engine == "apptainer" else _docker(engine, container)


def remedies(engine: Engine, image: str) -> dict[int, str]:
    """What to do about the engine's own exit statuses (docker's documentation of "docker run", "Exit status")."""
    if engine == "apptainer":
        return {}
    program = f"the image {image!r} has no such program, or may not run it: look at the command of the pipeline"
    return {
        125: f"{engine} itself has failed, and its last lines say why: is the image there for the user that Orthanc "
        f"runs as ({engine} pull {image}), and does {engine} work for that user?",
        126: program,
        127: program,
    }


def removal(engine: Engine, container: Container) -> list[list[str]]:
    """Commands that remove what is left of a container; empty for apptainer, which leaves only processes of its own."""
    if engine == "apptainer":
        return []
    at_once = ["--ignore", "--time", "0"] if engine == "podman" else []
    return [[engine, *container.engine_options, "rm", "--force", *at_once, "--volumes", container.name]]


def _docker(engine: Engine, container: Container) -> list[str]:
    line = [engine, *container.engine_options, "run", "--rm", "--name", container.name]
    line += ["--network", container.network, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    line += ["--security-opt", "label=disable"]  # otherwise SELinux hides the mounted folders from the container
    for mount in container.mounts:
        read_only = ",readonly" if mount.is_read_only else ""
        line += ["--mount", f"type=bind,source={mount.source},target={mount.target}{read_only}"]
    for name, value in container.env.items():
        line += ["--env", f"{name}={value}"]
    if container.user:
        line += ["--user", container.user]
        if engine == "podman" and os.getuid() != 0:
            line += ["--userns", "keep-id"]  # without root rights, users inside and outside would differ
    if container.folder:
        line += ["--workdir", container.folder]
    if container.memory_mb is not None:
        line += ["--memory", f"{container.memory_mb}m"]
    if container.shared_memory is not None:
        line += ["--shm-size", f"{container.shared_memory}b"]
    if engine == "podman":
        for gpu in container.gpus:
            line += ["--device", f"nvidia.com/gpu={gpu}"]
    elif container.gpus:
        line += ["--gpus", "all" if container.gpus == ALL_GPUS else '"device=' + ",".join(container.gpus) + '"']
    line += container.options
    if container.command is None:
        return [*line, container.image]
    return [*line, "--entrypoint", container.command[0], container.image, *container.command[1:]]


def _apptainer(container: Container) -> list[str]:
    """The arguments by apptainer's documentation; ``docker://NAME`` is an image of a registry."""
    line = ["apptainer", *container.engine_options, "run" if container.command is None else "exec"]
    line += ["--containall", "--cleanenv"]
    if container.network != "host":
        line += ["--net", "--network", container.network]
    for mount in container.mounts:
        line += ["--bind", f"{mount.source}:{mount.target}:{'ro' if mount.is_read_only else 'rw'}"]
    gpus = {} if container.gpus in (ALL_GPUS, ()) else {"CUDA_VISIBLE_DEVICES": ",".join(container.gpus)}
    for name, value in {**container.env, **gpus}.items():
        line += ["--env", f"{name}={value}"]
    if container.folder:
        line += ["--pwd", container.folder]
    if container.memory_mb is not None:
        line += ["--memory", f"{container.memory_mb}M"]
    if container.gpus:
        line.append("--nv")
    return [*line, *container.options, container.image, *(container.command or ())]
