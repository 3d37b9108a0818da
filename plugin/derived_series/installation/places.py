"""Where an installed package has what Orthanc and users name by path."""

from __future__ import annotations

from pathlib import Path

#: The folder that holds this package: plugin/ of a checkout, or site-packages.
_AROUND = Path(__file__).resolve().parents[2]

#: Beside the package in a wheel: the script and the ready blueprints.
_IN_WHEEL = _AROUND / "derived_series_plugin"


def plugin_script() -> Path:
    """The script that Orthanc's Python plugin is to load."""
    of_checkout = _AROUND / "main.py"
    return of_checkout if of_checkout.is_file() else _IN_WHEEL / "main.py"


def ready_blueprints() -> Path:
    """The folder of the blueprints and pipelines that come with this package."""
    of_checkout = _AROUND.parent / "blueprints"
    return of_checkout if (_AROUND / "main.py").is_file() else _IN_WHEEL / "blueprints"


def environment_of(script: Path) -> Path | None:
    """The virtual environment that a script is installed in, or that its checkout has; None where there is none."""
    folder = script.parent
    venv = folder.parents[3] if folder.parent.name == "site-packages" else folder.parent / ".venv"
    return venv if (venv / "bin" / "python").exists() else None


#: Where the interpreters are whose library Orthanc's plugin may be linked with.
_SYSTEMS = ("/usr/bin", "/bin", "/usr/local/bin")


def base_of(venv: Path) -> str:
    """The folder of the interpreter that an environment was made with; an empty text where it does not say."""
    try:
        lines = (venv / "pyvenv.cfg").read_text("utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.partition("=") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == "home"), "")


def is_systems(base: str) -> bool:
    """Whether an interpreter's folder is the system's, not that of pyenv, conda or uv; so is one that is not known."""
    return not base or base in _SYSTEMS


def python_of(venv: Path) -> str | None:
    """The version of an environment's Python, such as ``3.11``."""
    versions = sorted(venv.glob("lib/python3.*/site-packages"))
    return versions[-1].parent.name.removeprefix("python") if versions else None
