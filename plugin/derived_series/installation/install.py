"""Writes the one file that Orthanc needs beside its own configuration, and takes it away again.

No other file is changed: where one of them has to say something else, the step is told.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derived_series.errors import Conflict, InvalidRequest
from derived_series.installation.configuration import Configuration, read_configuration, read_file
from derived_series.installation.places import plugin_script, ready_blueprints
from derived_series.installation.shared_libraries import PYTHON, USUAL_FOLDER, linked_python, loaded_plugin

#: The file's name in Orthanc's folder.
FILE = "derived-series.json"

#: The folder in Orthanc's for blueprints and pipelines of the user's own. Orthanc reads no folders.
OWN_BLUEPRINTS = "blueprints"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation writes.

    :ivar file: what is written.
    :ivar sections: its content.
    :ivar is_written: it is there already, with this content.
    :ivar folder: for the user's own blueprints; it is made.
    :ivar steps: what the user has to do in other files.
    """

    file: Path
    sections: Mapping[str, Any]
    is_written: bool
    folder: Path
    steps: tuple[str, ...]

    @property
    def text(self) -> str:
        return json.dumps(self.sections, indent=2) + "\n"


def plan_installation(orthanc: Path) -> Plan:
    """What there is to write into Orthanc's folder of configuration files.

    What an older version has written is kept, with what the user has added to it; the paths are new.

    :raises InvalidRequest: not a folder, or files in it that Orthanc cannot read.
    :raises Conflict: this environment's Python is not that of Orthanc's Python plugin.
    """
    script = plugin_script()
    if orthanc.is_file():
        raise InvalidRequest(
            f"{orthanc} is one file: an Orthanc that is started with it reads no other",
            remedy="start Orthanc with the folder of the file, and name that folder; or write into the file what"
            f" {json.dumps(_sections(script, orthanc.parent))} says",
        )
    file = orthanc / FILE
    others = read_configuration(orthanc, but=file)
    if others.problems:
        raise InvalidRequest("; ".join(others.problems), remedy="mend these files first")
    _check_python(others)
    former = read_file(file) if file.exists() else {}
    sections = _merged(_sections(script, orthanc), former, script)
    steps = []
    for name in [name for name in sections if name in others.files]:
        step = _step(name, others, script)
        if step:
            steps.append(step)
        del sections[name]
    return Plan(file, sections, former == sections, orthanc / OWN_BLUEPRINTS, tuple(steps))


def write(plan: Plan) -> list[str]:
    """Write what is planned; what was done, in words. A file that differs is kept beside the new one."""
    done = []
    if not plan.folder.exists():
        plan.folder.mkdir(mode=0o755)
        done.append(f"made {plan.folder}: put your blueprints and pipelines there")
    if plan.is_written:
        return [*done, f"{plan.file} is as it has to be"]
    if plan.file.exists():
        before = plan.file.with_name(FILE + ".before")  # not .json: Orthanc does not read it
        plan.file.replace(before)
        done.append(f"kept the former {plan.file} as {before}")
    with tempfile.NamedTemporaryFile("w", dir=plan.file.parent, prefix=".", delete=False, encoding="utf-8") as written:
        written.write(plan.text)
        os.fchmod(written.fileno(), 0o644)
    Path(written.name).replace(plan.file)
    return [*done, f"wrote {plan.file}"]


def uninstall(orthanc: Path) -> tuple[list[str], list[str]]:
    """Take the file away; what was done, and what is left to the user. Nothing is deleted that a user has made.

    :raises InvalidRequest: there is none.
    """
    file, folder = orthanc / FILE, orthanc / OWN_BLUEPRINTS
    if not file.exists():
        raise InvalidRequest(f"{file} is not there: nothing is installed in {orthanc}")
    away = file.with_name(FILE + ".removed")  # not .json: Orthanc does not read it
    file.replace(away)
    done = [f"renamed {file} to {away}: Orthanc does not read it any more"]
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        done.append(f"removed {folder}, which was empty")
    others = read_configuration(orthanc)
    script, steps = str(plugin_script()), []
    for name, value in (("PythonScript", others.merged.get("PythonScript")), ("Python", others.section("Python"))):
        if value == script or (isinstance(value, dict) and value.get("Path") == script):
            steps.append(f"{others.files[name]} still names {script}: put back what was there")
    return done, steps


def _sections(script: Path, orthanc: Path) -> dict[str, Any]:
    """What the file says in a folder whose other files say nothing of it."""
    return {
        "Plugins": [str(USUAL_FOLDER)],
        "PythonScript": str(script),
        "Python": {"AllowThreads": True},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DerivedSeries": {"BlueprintFolders": [str(ready_blueprints()), str(orthanc / OWN_BLUEPRINTS)]},
    }


def _merged(new: Mapping[str, Any], former: Mapping[str, Any], script: Path) -> dict[str, Any]:
    """The file with what the user has added to a former one; its paths of another version's are replaced."""
    sections = {**new, **former, "PythonScript": str(script)}
    derived = dict(sections["DerivedSeries"]) if isinstance(sections["DerivedSeries"], dict) else {}
    if former:
        first, *_ = new["DerivedSeries"]["BlueprintFolders"]
        kept = [each for each in derived.get("BlueprintFolders", []) if "derived_series_plugin" not in str(each)]
        derived["BlueprintFolders"] = [first, *(each for each in kept if each != first)]
        sections["DerivedSeries"] = derived
    return sections


def _step(name: str, others: Configuration, script: Path) -> str | None:
    """What has to change in a file of the user's that has one of our sections; None where it does already."""
    file, value = others.files[name], others.merged[name]
    if name == "PythonScript" and not leads_to(str(value), script):
        return (
            f"{file} sets PythonScript to {value}, and Orthanc loads one script. If that one is not needed:\n"
            f'    sed -i \'s#"{value}"#"{script}"#\' {file}\n'
            f"If it is, leave it there and add these lines at its end (neither may then register another change"
            f" callback or filter of requests, of which Orthanc takes one each):\n"
            f"    import runpy\n"
            f"    derived_series_plugin = runpy.run_path({str(script)!r})"
        )
    if name == "Python" and not (isinstance(value, dict) and value.get("AllowThreads")):
        return f'{file} has the section "Python": add "AllowThreads": true to it'
    if name == "DicomWeb" and not (isinstance(value, dict) and value.get("Enable", True)):
        return f"{file} switches the DICOMweb plugin off: set DicomWeb.Enable to true"
    if name == "Plugins" and loaded_plugin(others, PYTHON) is None:
        return f"{file}: Plugins leads to no {PYTHON}: add {USUAL_FOLDER}, or the file, and install orthanc-python"
    if name == "DerivedSeries":
        folders = value.get("BlueprintFolders", []) if isinstance(value, dict) else []
        if str(ready_blueprints()) not in folders:
            return f'{file}: DerivedSeries.BlueprintFolders lacks "{ready_blueprints()}", the ready blueprints'
    return None


def leads_to(named: str, script: Path) -> bool:
    """Whether the script that Orthanc loads is ours, or one that runs it."""
    try:
        return named == str(script) or str(script) in Path(named).read_text("utf-8", "replace")
    except OSError:
        return False


def _check_python(others: Configuration) -> None:
    plugin = loaded_plugin(others, PYTHON) or USUAL_FOLDER / PYTHON
    linked, ours = linked_python(plugin), ".".join(platform.python_version_tuple()[:2])
    if linked is not None and linked != ours:
        raise Conflict(
            f"{plugin} runs Python {linked}, this environment has Python {ours}",
            remedy=f"make it with python{linked} -m venv, install the package there, and run its derived-series",
        )
