"""The script that Orthanc's Python plugin loads: it finds the dependencies, then starts the plugin."""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
MINOR = f"python{sys.version_info.major}.{sys.version_info.minor}"


def find_venv() -> Path | None:
    """The virtual environment with the dependencies.

    It is DERIVED_SERIES_VENV, the one in which this script is installed, or .venv beside the plugin folder. Its Python
    must have the same version as the one inside Orthanc.
    """
    named = os.environ.get("DERIVED_SERIES_VENV")
    installed = HERE.parents[3] if HERE.parent.name == "site-packages" else None
    venv = Path(named) if named else installed or HERE.parent / ".venv"
    if (venv / "lib" / MINOR / "site-packages").is_dir():
        return venv
    if named:
        raise SystemExit(f"DERIVED_SERIES_VENV: {venv} is not a virtual environment of {MINOR}")
    if installed:
        raise SystemExit(f"{venv} is not an environment of {MINOR}, which Orthanc runs: make it again with {MINOR}")
    return None


def is_standard(path: str) -> bool:
    """Whether a folder (or zip file) of the path belongs to the standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    zipped = library.parent / f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return Path(path) in (library, library / "lib-dynload", Path(sysconfig.get_path("platstdlib")), zipped)


def use(venv: Path | None) -> Path:
    """Set the path to the plugin, then the standard library, the dependencies and all else; return the workers' Python.

    The order is Python's own, so that a package of the venv never replaces a module of the standard library with the
    same name (backports such as dataclasses and enum34, which others bring along). Workers have the same path.
    """
    before = [path for path in sys.path if path != str(HERE)]
    if venv is not None:
        site.addsitedir(str(venv / "lib" / MINOR / "site-packages"))
    added = [path for path in sys.path if path not in (*before, str(HERE))]
    standard = [path for path in before if is_standard(path)]
    sys.path[:] = [str(HERE), *standard, *added, *(path for path in before if path not in standard)]
    python = venv / "bin" / "python" if venv is not None else shutil.which(MINOR)
    if python is None:
        raise SystemExit(f"{MINOR} is not installed: worker processes need it")
    return Path(python)


executable = use(find_venv())

from derived_series.orthanc.app import start  # noqa: E402  # the path had to be set first
from derived_series.orthanc.gateway import PluginGateway  # noqa: E402

plugin = start(PluginGateway(), executable)
