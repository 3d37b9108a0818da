"""Where dcm2niix is: in the wheel of its name, or on the system."""

from __future__ import annotations

import importlib.util
import shutil

import pytest


def dcm2niix_program() -> str:
    """Its path; skips the test when it is not installed."""
    if importlib.util.find_spec("dcm2niix"):
        import dcm2niix

        return str(dcm2niix.bin)
    path = shutil.which("dcm2niix")
    if path is None:
        pytest.skip("dcm2niix is not installed (pip install dcm2niix)")
    return path
