"""MercureModule: runs a module of mercure, unchanged, as a pipeline."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Unpack

from derived_series.pipelines.arguments import placed
from derived_series.pipelines.command import declare
from derived_series.pipelines.container_pipeline import DeclaredContainer, DicomInOut
from derived_series.pipelines.input_container import InputContainer
from derived_series.pipelines.output import VALUES, Value
from derived_series.pipelines.supervised import Command


class DeclaredModule(DeclaredContainer, total=False):
    """The class attributes that a MercureModule object may set."""

    module: str
    settings: Mapping[str, Any]


class MercureModule(DicomInOut):
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
