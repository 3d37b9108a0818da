"""ContainerPipeline: runs a container image as a pipeline."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Unpack

from pydicom import dcmread

from derived_series.errors import BlueprintError, UserCodeError
from derived_series.pipelines.arguments import placed
from derived_series.pipelines.command import CommandPipeline, Declared, declare
from derived_series.pipelines.engines import (
    ALL_GPUS,
    ENGINES,
    Container,
    Mount,
    chosen_engine,
    command_line,
    remedies,
    removal,
)
from derived_series.pipelines.input import Input
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.supervised import Command

_GPU = re.compile(r"[0-9]+|(GPU|MIG)-\S+")


class DeclaredContainer(Declared, total=False):
    """The class attributes that a ContainerPipeline object may set."""

    image: str
    engine: Literal["", "podman", "docker", "apptainer"]
    user: str
    memory_mb: int
    gpus: bool
    network: str
    options: Sequence[str]
    engine_options: Sequence[str]


class ContainerPipeline(CommandPipeline):
    """Writes its inputs to files, runs an image with them, and takes its outputs from the files that the image wrote.

    The folders are mounted: ``{in}`` is /in, which is read-only, ``{out}`` is /out. There is no network. The container
    is removed after the job, however it ended.

    :cvar image: the image's name, as the engine knows it.
    :cvar engine: podman, docker or apptainer; by default the first that is installed.
    :cvar command: by default the image's own.
    :cvar user: ``uid:gid`` to run as; by default the user of this process, ``"image"`` for the image's own. Only root
        can choose another user, as nobody else could remove that user's files.
    :cvar memory_mb: the most memory that it may use.
    :cvar gpus: whether it sees GPUs: those that its environment claims, or its worker on another machine has
        (``CUDA_VISIBLE_DEVICES``); all if nothing says which.
    :cvar network: the engine's name of a network.
    :cvar options: more options of the engine for a run, such as ``("--shm-size", "1g")``.
    :cvar engine_options: options of the engine itself, before "run".
    """

    image: ClassVar[str] = ""
    engine: ClassVar[Literal["", "podman", "docker", "apptainer"]] = ""
    user: ClassVar[str] = ""
    memory_mb: ClassVar[int | None] = None
    gpus: ClassVar[bool] = False
    network: ClassVar[str] = "none"
    options: ClassVar[Sequence[str]] = ()
    engine_options: ClassVar[Sequence[str]] = ()
    folders: ClassVar[tuple[str, ...]] = ("in", "out")

    def __init__(self, **declared: Unpack[DeclaredContainer]):
        """Set class attributes by name. :raises BlueprintError: the class has no such attribute."""
        declare(self, declared, DeclaredContainer)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.image:
            cls.check()

    @classmethod
    def check(cls) -> None:
        """Check the declaration, and that the engine is known. :raises BlueprintError: it is wrong."""
        super().check()
        if cls.engine and cls.engine not in ENGINES:
            raise BlueprintError(
                f"the engine of {cls.__name__} is {cls.engine!r}", remedy=f"use one of {', '.join(ENGINES)}"
            )

    def line(self, container: InputContainer, written: Mapping[str, Path | None]) -> Command:
        """The engine's command that runs the image."""
        inside = {name: path and self._inside(path, container) for name, path in written.items()}
        values = {**container.parameters.model_dump(), **inside, "in": Path("/in"), "out": Path("/out")}
        return self.engine_line(
            container,
            {"in": "/in", "out": "/out"},
            command=placed(self.command, values) if self.command else None,
            env={"HOME": "/tmp", **self.variables(values)},
        )

    @staticmethod
    def _inside(path: Path, container: InputContainer) -> Path:
        """The path of an input's file inside the container."""
        return Path("/in") / path.relative_to(container.folder / "in")

    def engine_line(
        self,
        container: InputContainer,
        targets: Mapping[str, str],
        *,
        command: Sequence[str] | None,
        env: Mapping[str, str],
        writable: bool = False,
        folder: str = "",
        gpus: bool = False,
        shared_memory: int | None = None,
        user: str = "",
        seconds: float | None = None,
    ) -> Command:
        """The engine's command that runs a container with two mounted folders.

        :param targets: the paths of the folders ``in`` and ``out`` inside the container; :param writable: both are so.
        :raises UserCodeError: it would write files that this process cannot remove.
        """
        user = user or self.user or own_user()
        if os.getuid() != 0 and user.split(":")[0] != str(os.getuid()):
            raise UserCodeError(
                f"the image {self.image!r} would run as {user!r}, and leave files that only root can remove",
                remedy="leave user out, or run Orthanc as root",
            )
        for name in targets:
            (container.folder / name).chmod(0o777)  # the user inside may differ
        wanted = Container(
            self.image,
            f"derived-series-{uuid.uuid4().hex[:16]}",
            command=command,
            mounts=[
                Mount(container.folder / name, PurePosixPath(target), is_read_only=name == "in" and not writable)
                for name, target in targets.items()
            ],
            env=env,
            user="" if user == "image" else user,
            folder=folder,
            network=self.network,
            memory_mb=self.memory_mb,
            shared_memory=shared_memory,
            gpus=visible_gpus() if self.gpus or gpus else (),
            options=self.options,
            engine_options=self.engine_options,
        )
        engine = chosen_engine(self.engine)
        return Command(
            command_line(engine, wanted),
            container.folder,
            remove=[container.folder],
            cleanup=removal(engine, wanted),
            unbounded=True,
            seconds=seconds,
            name=f"the container of the image {self.image!r}",
            remedies=remedies(engine, self.image),
        )


def own_user() -> str:
    """``uid:gid`` of this process."""
    return f"{os.getuid()}:{os.getgid()}"


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by ``CUDA_VISIBLE_DEVICES``, which may name none; all if it is not set.

    As for CUDA, those count that stand before the first which is none (CUDA C++ Programming Guide, Environment
    Variables).
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return ALL_GPUS
    return tuple(takewhile(_GPU.fullmatch, (each.strip() for each in visible.split(","))))


class DicomFiles(Input):
    """A series as its stored files."""

    as_ = "dicom"


class DicomInOut(ContainerPipeline):
    """Base for images that read DICOM files from one folder and write DICOM files to another."""

    input: ClassVar[Mapping[str, type[Input]]] = {"parent": DicomFiles}
    files: ClassVar[Mapping[str, str] | str] = "**/*.dcm"

    def write_inputs(self, container: InputContainer, folder: Path) -> dict[str, Path | None]:
        """Write the files of all inputs into one folder, named by series and instance."""
        for name, series in container.parents.items():
            held = folder / f".{name}"
            for file in series.save_dicom(held):
                head = dcmread(file, stop_before_pixels=True, specific_tags=["SOPInstanceUID", "SeriesInstanceUID"])
                file.rename(folder / f"{head.SeriesInstanceUID}#{head.SOPInstanceUID}.dcm")
            held.rmdir()
        for file in folder.iterdir():
            file.chmod(0o666)
        return dict.fromkeys(self.input, folder)
