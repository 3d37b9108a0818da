"""Requires programs that `scripts/setup.sh` installs: a test without one is skipped, and fails in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def not_installed(name: str, how: str) -> None:
    """Skip the test, or fail it if ``CI=true``, as nobody would notice the gap there.

    :param how: the command that installs the program.
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
