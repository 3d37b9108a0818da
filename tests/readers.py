"""Programs of others that read what is written. `make test-readers` installs them; tests skip without them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from orthanc_server import REPOSITORY

_FOLDER = REPOSITORY / ".readers" / "bin"
#: Set by `make test-readers`, which has just installed them: one that is missing there is an error.
_REQUIRED = "DERIVED_SERIES_READERS"


def reader(name: str) -> Path:
    """Where a program is: of the environment of readers, or of the system. The test is skipped where it is not."""
    if (_FOLDER / name).exists():
        return _FOLDER / name
    system = None if name == "python" else shutil.which(name)
    if system is None:
        text = f"{name} is not there (make test-readers installs it)"
        if os.environ.get(_REQUIRED):
            pytest.fail(text)
        pytest.skip(text)
    return Path(system)
