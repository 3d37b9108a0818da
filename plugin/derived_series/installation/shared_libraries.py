"""Orthanc's plugins as files: which of them a configuration loads, and which Python is linked into one."""

from __future__ import annotations

import re
from pathlib import Path

from derived_series.installation.configuration import Configuration

#: Where Debian's packages and Orthanc's images have the plugins.
USUAL_FOLDER = Path("/usr/share/orthanc/plugins")

PYTHON, DICOMWEB = "libOrthancPython.so", "libOrthancDicomWeb.so"


def loaded_plugin(configuration: Configuration, name: str) -> Path | None:
    """The file of a plugin that ``Plugins`` leads to; None where Orthanc does not load it."""
    listed = configuration.merged.get("Plugins")
    for entry in listed if isinstance(listed, list) else []:
        path = configuration.folder / str(entry)
        candidates = sorted(path.glob("*.so*")) if path.is_dir() else [path]
        for candidate in candidates:
            if candidate.name.startswith(name) and candidate.exists():
                return candidate
    return None


def linked_python(plugin: Path) -> str | None:
    """The version of Python, such as ``3.13``, that a plugin is linked with; None where the file names none."""
    try:
        match = re.search(rb"libpython(3\.\d+)", plugin.read_bytes())
    except OSError:
        return None
    return match[1].decode() if match else None


def version_of(plugin: Path) -> tuple[int, ...] | None:
    """The plugin's version by the name of its file (Debian: ``libOrthancPython.so.5.0``); None where it has none."""
    match = re.search(r"\.so\.(\d+(?:\.\d+)*)$", plugin.resolve().name)
    return tuple(int(number) for number in match[1].split(".")) if match else None
