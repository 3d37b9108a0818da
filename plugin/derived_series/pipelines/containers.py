"""ContainerPipeline: runs a container image as a pipeline, including modules of mercure and packages of MONAI."""

from __future__ import annotations

import json
import os
import shlex
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Unpack

from pydicom import dcmread

from derived_series.errors import BlueprintError, UserCodeError
from derived_series.pipelines.arguments import placed
from derived_series.pipelines.command import CommandPipeline, Declared, declare
from derived_series.pipelines.container import InputContainer
from derived_series.pipelines.engines import ENGINES, Container, Mount, chosen_engine, command_line, remedies, removal
from derived_series.pipelines.input import Input
from derived_series.pipelines.output import VALUES, Value
from derived_series.pipelines.supervised import Command, run

#: The folders below /etc where packages have their manifests.
_FLAVOURS = ("monai", "holoscan")

#: The default size of /dev/shm, which the SDK's own runner uses too.
_SHARED_MEMORY_BYTES = 1 << 30
#: The SDK type whose applications get the path of their configuration.
_HOLOSCAN = "holoscan"

#: Factors by the suffixes of sizes in a package's manifest, such as ``"4Gi"``.
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


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


class DeclaredModule(DeclaredContainer, total=False):
    """The class attributes that a MercureModule object may set."""

    module: str
    settings: Mapping[str, Any]


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
    :cvar gpus: whether it sees GPUs: those that its environment claims, or all.
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
        user = user or self.user or _own_user()
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
            gpus=visible_gpus() if self.gpus or gpus else None,
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


def _own_user() -> str:
    return f"{os.getuid()}:{os.getgid()}"


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this worker's environment claims; if it names none, all."""
    claimed = os.environ.get("CUDA_VISIBLE_DEVICES", "") if "DERIVED_SERIES_GPU" in os.environ else ""
    return tuple(each for each in claimed.split(",") if each)


class DicomFiles(Input):
    """A series as its stored files."""

    as_ = "dicom"


class _DicomInOut(ContainerPipeline):
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


class MercureModule(_DicomInOut):
    """A module of mercure: DICOM files in MERCURE_IN_DIR, results in MERCURE_OUT_DIR, settings in task.json.

    The parameters of a request are the module's settings and override ``settings``. Numbers in its result.json are
    values; its notification goes to the job's log.

    :cvar module: its name in task.json; by default the pipeline's.
    :cvar env: environment variables besides mercure's.
    """

    module: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, **declared: Unpack[DeclaredModule]):
        """Set class attributes by name. :raises BlueprintError: the class has no such attribute."""
        declare(self, declared, DeclaredModule)

    def line(self, container: InputContainer, written: Mapping[str, Path | None]) -> Command:
        paths = {"in": "/tmp/data", "out": "/tmp/output"}
        self._write_task(container)
        both = {
            "MERCURE_IN_DIR": paths["in"],
            "MERCURE_OUT_DIR": paths["out"],
            "MONAI_INPUTPATH": paths["in"],
            "MONAI_OUTPUTPATH": paths["out"],
            "HOLOSCAN_INPUT_PATH": paths["in"],
            "HOLOSCAN_OUTPUT_PATH": paths["out"],
        }
        values = {**container.parameters.model_dump(), **dict.fromkeys(written, Path(paths["in"]))}
        values |= {name: Path(path) for name, path in paths.items()}
        command = placed(self.command, values) if self.command else None
        return self.engine_line(
            container, paths, command=command, env={**self.variables(values), **both}, writable=True
        )

    def _write_task(self, container: InputContainer) -> None:
        """Write task.json as mercure's processor does, as far as a module can use it."""
        parent = container.parents[self.parent_name()]
        name = self.module or self.pipeline_name()
        settings = {**self.settings, **container.parameters.model_dump(mode="json")}
        task = {
            "info": {
                "action": "process",
                "uid": parent.series_instance_uid,
                "uid_type": "series",
                "triggered_rules": "",
                "applied_rule": name,
                "mrn": str(parent.pivot.get("PatientID") or ""),
                "acc": str(parent.pivot.get("AccessionNumber") or ""),
                "sender_aet": "MISSING",
                "receiver_aet": "MISSING",
            },
            "id": uuid.uuid4().hex,
            "dispatch": {},
            "process": {
                "module_name": name,
                "module_config": {"docker_tag": self.image},
                "settings": settings,
                "retain_input_images": False,
                "output": None,
            },
            "study": {},
        }
        file = container.folder / "in" / "task.json"
        file.write_text(json.dumps(task, indent=4), "utf-8")
        file.chmod(0o666)

    def collect(self, container: InputContainer, out: Path) -> dict[str, Any]:
        collected = super().collect(container, out)
        result = _json_of(out / "result.json")
        notification = result.pop("__mercure_notification", None)
        if notification is not None:
            text = notification.get("text") if isinstance(notification, dict) else notification
            container.log(f"notification of {self.image}: {text}")
        if result:
            container.log(f"result of {self.image}: {json.dumps(result)}")
        numbers = {
            name: Value(number)
            for name, number in result.items()
            if isinstance(number, int | float) and not isinstance(number, bool) and number - number == 0
        }
        return {**collected, VALUES: {**numbers, **collected.get(VALUES, {})}}


def _json_of(file: Path) -> dict[str, Any]:
    """The object in a module's result file; empty if it is not a JSON object, as in mercure."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


class MonaiPackage(_DicomInOut):
    """A MONAI Application Package (MAP): its manifests say what to run, where, with which resources, and for how long.

    It runs as the user of this process, as with the SDK's own runner; if that is root, as the image's own user.
    """

    def line(self, container: InputContainer, written: Mapping[str, Path | None]) -> Command:
        """The command by the manifests. :raises UserCodeError: the package needs more than the container may have."""
        flavour, app, package = self._manifests(container)
        root = PurePosixPath(app.get("workingDirectory") or f"/var/{flavour}/")
        paths = {name: str(root / _path_of(app, f"{name}put", f"{name}put")) for name in ("in", "out")}
        models = f"/opt/{flavour}/models/"
        env = {
            **{str(name): str(value) for name, value in (app.get("environment") or {}).items()},
            "MONAI_INPUTPATH": paths["in"],
            "MONAI_OUTPUTPATH": paths["out"],
            "MONAI_WORKDIR": str(root),
            "HOLOSCAN_INPUT_PATH": paths["in"],
            "HOLOSCAN_OUTPUT_PATH": paths["out"],
            "HOLOSCAN_WORKDIR": str(root),
        }
        env.setdefault("MONAI_MODELPATH", models)
        env.setdefault("HOLOSCAN_MODEL_PATH", models)
        needed = package.get("resources") or {}
        self._check_resources(needed)
        command = _command_of(app, self.image)
        if app.get("sdk") == _HOLOSCAN and (config := env.get("HOLOSCAN_CONFIG_PATH")):
            command += ["--config", config]
        return self.engine_line(
            container,
            paths,
            command=command,
            env={**env, **self.variables({"in": Path(paths["in"]), "out": Path(paths["out"])})},
            writable=True,
            folder=str(root),
            gpus=_number(needed.get("gpu")) > 0,
            shared_memory=_bytes_of(needed.get("sharedMemory")) or _SHARED_MEMORY_BYTES,
            user=self.user or ("image" if os.getuid() == 0 else ""),
            seconds=_number(app.get("timeout")) or None,
        )

    def _check_resources(self, needed: Mapping[str, Any]) -> None:
        """Check the resources that the package needs. :raises UserCodeError: there is too little of one."""
        memory, gpus = _bytes_of(needed.get("memory")) or 0, visible_gpus()
        limit = None if self.memory_mb is None else self.memory_mb << 20
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        for is_lacking, what, remedy in (
            (
                limit is not None and limit < memory,
                f"{needed.get('memory')} of memory, memory_mb is {self.memory_mb}",
                "raise memory_mb of the pipeline",
            ),
            (machine < memory, f"{needed.get('memory')} of memory, the machine has {machine >> 20}Mi", None),
            (
                _number(needed.get("cpu")) > (os.cpu_count() or 1),
                f"{needed.get('cpu')} processors, the machine has {os.cpu_count()}",
                None,
            ),
            (
                bool(gpus) and _number(needed.get("gpu")) > len(gpus),
                f"{needed.get('gpu')} GPUs, its environment claims {len(gpus)}",
                'raise "GPU" in the Resources of the environment',
            ),
        ):
            if is_lacking:
                raise UserCodeError(f"the package {self.image!r} needs {what}", remedy=remedy)

    def _manifests(self, container: InputContainer) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The folder of the manifests in the image (monai or, newer, holoscan), the application's and the package's.

        :raises UserCodeError: the image has none.
        """
        folder = container.folder / "manifests"
        folder.mkdir()
        script = f"for each in {' '.join(_FLAVOURS)}; do test -f /etc/$each/app.json && cp -r /etc/$each /out/; done; :"
        copy = self.engine_line(
            container, {"manifests": "/out"}, command=["/bin/sh", "-c", script], env={}, user=_own_user()
        )
        run(copy, container.log)
        for flavour in _FLAVOURS:
            try:
                app, package = (json.loads((folder / flavour / f"{name}.json").read_text()) for name in ("app", "pkg"))
            except FileNotFoundError:
                continue
            except ValueError as error:
                raise UserCodeError(f"a manifest in /etc/{flavour} of {self.image!r} is not JSON: {error}") from error
            return flavour, app, package
        raise UserCodeError(
            f"the image {self.image!r} has no manifests app.json and pkg.json in /etc/{' or /etc/'.join(_FLAVOURS)}",
            remedy="use ContainerPipeline for an image that is not a MONAI Application Package",
        )


def _path_of(app: Mapping[str, Any], key: str, default: str) -> str:
    setting = app.get(key)
    return str((setting.get("path") if isinstance(setting, dict) else None) or default)


def _command_of(app: Mapping[str, Any], image: str) -> list[str]:
    """The command of a package: a text, or a JSON array whose parts are joined by blanks, like the image's script."""
    command = app.get("command")
    if isinstance(command, str) and command.lstrip().startswith("["):
        command = json.loads(command)
    if isinstance(command, list):
        command = " ".join(map(str, command))
    if not isinstance(command, str) or not command.strip():
        raise UserCodeError(f"the manifest app.json of {image!r} has no command")
    return shlex.split(command)


def _number(value: Any) -> float:
    """A number of a manifest, 0 if it has none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _bytes_of(size: Any) -> int | None:
    """A size such as ``"4Gi"`` in bytes; None if there is none."""
    text = str(size or "").strip().lower()
    digits = text.rstrip("kmgib")
    factor = _SIZES.get(text.removeprefix(digits).removesuffix("b"))
    return int(float(digits) * factor) if digits.replace(".", "", 1).isdigit() and factor else None
