"""Finds other programs that read the written files. `make test-readers` installs them; tests skip without them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from orthanc_server import REPOSITORY

_FOLDER = REPOSITORY / ".readers" / "bin"
#: Set by `make test-readers`, which has just installed them, so that a missing one is an error.
_REQUIRED = "DERIVED_SERIES_READERS"


def reader(name: str) -> Path:
    """The path of a program, in the environment of readers or on the system. Skips the test if there is none."""
    if (_FOLDER / name).exists():
        return _FOLDER / name
    system = None if name == "python" else shutil.which(name)
    if system is None:
        text = f"{name} is not there (make test-readers installs it)"
        if os.environ.get(_REQUIRED):
            pytest.fail(text)
        pytest.skip(text)
    return Path(system)
