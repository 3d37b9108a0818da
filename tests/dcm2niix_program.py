"""Finds dcm2niix: in its wheel, or on the system."""

from __future__ import annotations

import importlib.util

from installed import needs_program


def dcm2niix_program() -> str:
    """Its path; skips the test if it is not installed, and fails it in CI."""
    if importlib.util.find_spec("dcm2niix"):
        import dcm2niix

        return str(dcm2niix.bin)
    return needs_program("dcm2niix", "pip install dcm2niix")
