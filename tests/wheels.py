"""Builds the wheel of this package, as ``make wheel`` does, and really installs it in Pythons."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the working copy. :param folder: for the wheel and its sources."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("plugin", "blueprints"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    offline = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []  # else pip fetches it
    _pip("wheel", "--no-deps", *offline, "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, python: Path) -> None:
    """Install a wheel, without its dependencies, in the environment of a Python."""
    _pip("--python", str(python), "install", "--no-index", "--no-deps", str(wheel))


def pretend_version(python: Path, version: str) -> None:
    """Change the version of an installed package."""
    (metadata,) = python.parent.parent.glob("lib/python*/site-packages/derived_series_orthanc-*.dist-info/METADATA")
    lines = metadata.read_text("utf-8").splitlines(keepends=True)
    metadata.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines))


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
