"""MonaiPackage: runs a MONAI Application Package, unchanged, as a pipeline."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from derived_series.errors import UserCodeError
from derived_series.pipelines.container_pipeline import DicomInOut, own_user, visible_gpus
from derived_series.pipelines.engines import ALL_GPUS
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.supervised import Command, run

#: The folders below /etc where packages have their manifests.
_FLAVOURS = ("monai", "holoscan")

#: The default size of /dev/shm, which the SDK's own runner uses too.
_SHARED_MEMORY_BYTES = 1 << 30
#: The SDK type whose applications get the path of their configuration.
_HOLOSCAN = "holoscan"

#: Factors by the suffixes of sizes in a package's manifest, such as ``"4Gi"``.
_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


class MonaiPackage(DicomInOut):
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
                gpus != ALL_GPUS and _number(needed.get("gpu")) > len(gpus),
                f"{needed.get('gpu')} GPUs, its worker may use {len(gpus)}",
                'raise "GPU" in the Resources of the environment; on another machine, what its worker has '
                "(CUDA_VISIBLE_DEVICES)",
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
            container, {"manifests": "/out"}, command=["/bin/sh", "-c", script], env={}, user=own_user()
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
