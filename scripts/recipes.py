"""Makes the environments for the tests of docs/recipes.md: a Python for each, with this package installed.

They are in .run/recipes. Existing ones are kept; after a change of the sources only this package is installed again.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / ".run" / "recipes"
PACKAGE = REPOSITORY / "plugin" / "derived_series"

#: The packages of each environment, with a version if the test is about it, or if another one costs gigabytes.
ENVIRONMENTS: dict[str, Sequence[str]] = {
    "dipy": ("dipy", "numpy>=2"),
    "onnx": ("onnxruntime", "onnx", "numpy==1.26.4"),
    "torch": ("torch==2.13.0+cpu", "monai[nibabel,ignite,fire]==1.6.1"),
}

#: Packages of which only the command line is run, without the dependencies for computing.
COMMANDS: Sequence[str] = ("TotalSegmentator==2.18.0", "nnunetv2==2.8.1", "batchgenerators==0.25.5")
COMMANDS_NEED: Sequence[str] = ("nibabel", "numpy", "tqdm")

#: The index of PyTorch builds without CUDA, unless pip finds them already.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def python_of(name: str) -> Path:
    """The Python of an environment."""
    return FOLDER / name / "bin" / "python"


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    make("commands", ["--no-deps", *COMMANDS], COMMANDS_NEED)
    with tempfile.TemporaryDirectory() as folder:
        pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", folder, str(REPOSITORY))
        (wheel,) = Path(folder).glob("*.whl")
        for name, packages in ENVIRONMENTS.items():
            make(name, [*packages, str(wheel)])
            install_again(name, wheel)
    print(f"recipes: {', '.join(['commands', *ENVIRONMENTS])} are in {FOLDER}")
    return 0


def make(name: str, *installs: Sequence[str]) -> None:
    """Make an environment with its packages; again if these have changed."""
    stamp = FOLDER / name / "installed"
    wanted = f"{sys.version}\n{ENVIRONMENTS.get(name, (*COMMANDS, *COMMANDS_NEED))}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"recipes: making the environment {name}", flush=True)
    venv.create(FOLDER / name, clear=True, with_pip=True, symlinks=True)
    for packages in installs:
        if pip(python_of(name), "install", *packages, check=False):
            pip(python_of(name), "install", "--extra-index-url", TORCH_INDEX, *packages)
    stamp.write_text(wanted)


def install_again(name: str, wheel: Path) -> None:
    """Install this package again if it has changed, as Orthanc would run no other one."""
    stamp = FOLDER / name / "sources"
    wanted = sources()
    if not stamp.exists() or stamp.read_text() != wanted:
        pip(python_of(name), "install", "--no-deps", "--force-reinstall", str(wheel))
        stamp.write_text(wanted)


def sources() -> str:
    """The SHA-256 of the package's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def pip(python: Path, *arguments: str, check: bool = True) -> int:
    """Run pip; return its exit status."""
    command = [str(python), "-m", "pip", "-qq", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=check).returncode


if __name__ == "__main__":
    sys.exit(main())
