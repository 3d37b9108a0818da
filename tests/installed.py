"""Programs that tests need and that `scripts/setup.sh` installs: without one a test is skipped, and fails in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def not_installed(name: str, how: str) -> None:
    """Skip the test, or fail it where ``CI=true``: what is missing there would never be noticed.

    :param how: the command that installs it.
    """
    reason = f"{name} is not installed ({how})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def needs_program(name: str, how: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        not_installed(name, how)
    return str(path)
