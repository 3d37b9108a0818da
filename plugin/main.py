"""The script that Orthanc's Python plugin loads: finds the dependencies, then starts the plugin."""

from __future__ import annotations

import os
import shutil
import site
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MINOR = f"python{sys.version_info.major}.{sys.version_info.minor}"


def find_venv() -> Path | None:
    """The virtual environment with the dependencies: DERIVED_SERIES_VENV, or .venv beside the plugin folder.

    Its Python must be of the version of the one inside Orthanc.
    """
    named = os.environ.get("DERIVED_SERIES_VENV")
    venv = Path(named) if named else HERE.parent / ".venv"
    if (venv / "lib" / MINOR / "site-packages").is_dir():
        return venv
    if named:
        raise SystemExit(f"DERIVED_SERIES_VENV: {venv} is no virtual environment of {MINOR}")
    return None


def use(venv: Path | None) -> Path:
    """Put the plugin and its dependencies first on the path; the Python to run workers with."""
    before = list(sys.path)
    if venv is not None:
        site.addsitedir(str(venv / "lib" / MINOR / "site-packages"))
    added = [path for path in sys.path if path not in before]
    sys.path[:] = [str(HERE), *added, *(path for path in before if path != str(HERE))]
    python = venv / "bin" / "python" if venv is not None else shutil.which(MINOR)
    if python is None:
        raise SystemExit(f"{MINOR} is not installed: worker processes need it")
    return Path(python)


executable = use(find_venv())

from derived_series.orthanc.app import start  # noqa: E402  # the path had to be set first

plugin = start(executable)
