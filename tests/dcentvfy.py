"""Runs `dcentvfy` (Debian package dicom3tools) over files that claim one patient, study or series."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from installed import needs_program

#: Attributes that only one has: the standard requires attributes of type 2 of a derived series that its parent lacks.
_ALLOWED = re.compile(r"^Warning - Attribute present in one instance but not the other")


def disagreements(files: Iterable[Path]) -> list[str]:
    """Its lines about values that differ within one entity, without the files' names."""
    program = needs_program("dcentvfy", "apt-get install dicom3tools")
    run = subprocess.run([program, *map(str, files)], capture_output=True, timeout=120, check=False)
    if run.returncode < 0:
        raise RuntimeError(f"dcentvfy was ended by signal {-run.returncode}")
    lines = (run.stderr + run.stdout).decode("utf-8", "replace").splitlines()
    lines_of_problems = (line.split(" for file <")[0] for line in lines if line.strip() and not _ALLOWED.match(line))
    return list(dict.fromkeys(lines_of_problems))
