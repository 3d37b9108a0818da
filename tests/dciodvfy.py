"""Runs `dciodvfy` (Debian package dicom3tools) over a dataset."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset

from installed import needs_program
from phantoms import encode

#: The value of an attribute (`attribute <Rows> = <512>`) and the number of an item, which may differ between a
#: parent and a derived series without being another finding. Names of attributes and modules stay.
_VALUE = re.compile(r" = <[^<>]*>")
_ITEM = re.compile(r"\[\d+\]|#\d+")


def errors(dataset: Dataset | bytes) -> list[str]:
    """The Error lines, each once, without values and item numbers; empty when there are none.

    :param dataset: a dataset with its file meta, or a whole Part 10 file.
    """
    return _findings(dataset, "Error")


def new_errors(derived: Dataset | bytes, parents: Iterable[Dataset | bytes]) -> list[str]:
    """The errors of ``derived`` that none of its parents has."""
    known = {line for parent in parents for line in errors(parent)}
    return [line for line in errors(derived) if line not in known]


def _findings(dataset: Dataset | bytes, kind: str) -> list[str]:
    program = needs_program("dciodvfy", "apt-get install dicom3tools")
    content = dataset if isinstance(dataset, bytes) else encode(dataset)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instance.dcm"  # dciodvfy seeks: it cannot read from a pipe
        path.write_bytes(content)
        run = subprocess.run([program, str(path)], capture_output=True, timeout=60, check=False)
    if run.returncode < 0:
        raise RuntimeError(f"dciodvfy was ended by signal {-run.returncode}")
    lines = (run.stderr + run.stdout).decode("utf-8", "replace").splitlines()
    messages = (_normal(line) for line in lines if line.startswith(kind))
    return list(dict.fromkeys(messages))


def _normal(line: str) -> str:
    return " ".join(_ITEM.sub("", _VALUE.sub("", line)).split())
