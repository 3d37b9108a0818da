"""Folders of configuration files as packages and users leave them, for tests without an Orthanc."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from derived_series.installation.places import plugin_script, ready_blueprints

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def plugin_files(folder: Path, python: str = PYTHON, version: str = "5.0") -> Path:
    """A folder with stand-ins for Orthanc's plugins: their names, and the Python that one is linked with."""
    folder.mkdir()
    (folder / f"libOrthancPython.so.{version}").write_bytes(f"\x7fELF libpython{python}.so.1.0\0".encode())
    (folder / "libOrthancPython.so").symlink_to(f"libOrthancPython.so.{version}")
    (folder / "libOrthancDicomWeb.so").write_bytes(b"\x7fELF")
    return folder


def sound_sections(folder: Path) -> dict[str, Any]:
    """A configuration without problems; the storage is below the folder."""
    (folder / "storage").mkdir(exist_ok=True)
    return {
        "Plugins": [str(plugin_files(folder / "plugins"))],
        "StorageDirectory": str(folder / "storage"),
        "PythonScript": str(plugin_script()),
        "Python": {"AllowThreads": True},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DerivedSeries": {"BlueprintFolders": [str(ready_blueprints())], "Workers": 1},
    }


def write_folder(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a folder of configuration files."""
    folder.mkdir()
    for name, sections in files.items():
        (folder / name).write_text(json.dumps(sections))
    return folder


def debians_files(plugins: Path) -> dict[str, dict[str, Any]]:
    """The files of Debian's packages in /etc/orthanc, shortened."""
    return {
        "orthanc.json": {"Name": "Orthanc", "Plugins": [str(plugins)], "StorageDirectory": "/var/lib/orthanc/db-v6"},
        "python.json": {"PythonScript": "/etc/orthanc/sample.py", "PythonVerbose": False},
        "dicomweb.json": {"DicomWeb": {"Enable": True, "Root": "/dicom-web/"}},
    }
