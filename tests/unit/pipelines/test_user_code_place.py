"""An error of a user's code says in which of the user's files and lines it was raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import UserCodeError
from derived_series.pipelines.library import Library
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ct_phantom

SOURCE = """
import json

import numpy as np

from derived_series import Blueprint, SeriesElement, derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    How: str = ""


class Lost(Pipeline):
    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        blueprints["cct" if parameters.How == "unknown blueprint" else "ct"]  # the line of the name
        function = (lambda: 1 / 0) if parameters.How == "blueprint" else (lambda: "x")  # the lambda's line
        return blueprints["ct"] + derivation("x", "Smoothing") + Blueprint([SeriesElement("ProtocolName", function)])

    def process(self, container):
        container["Parent" if container.parameters.How == "unknown input" else "parent"]  # the line of the input
        return getattr(self, container.parameters.How)()  # the line of process

    def own(self):
        raise KeyError("weights")

    def library(self):
        return json.loads("{")

    def numpy(self):
        return np.linalg.inv(np.zeros((3, 3)))

    def exits(self):
        raise SystemExit("goodbye")
"""

#: How it fails -> a piece of the line that the error names, and what the message says.
PLACES = {
    "own": ('raise KeyError("weights")', "raised KeyError: 'weights' (lost.py, line {}, in own)"),
    "library": ('json.loads("{")', "(lost.py, line {}, in library)"),
    "numpy": ("np.linalg.inv(", "raised LinAlgError: Singular matrix (lost.py, line {}, in numpy)"),
    "exits": ("raise SystemExit(", "raised SystemExit: goodbye (lost.py, line {}, in exits)"),
    "missing": ("# the line of process", "(lost.py, line {}, in process)"),
    "unknown blueprint": ("# the line of the name", "there is no blueprint 'cct': there are cr, ct, dx"),
    "unknown input": (
        "# the line of the input",
        "there is no input 'Parent': there are parent\" (lost.py, line {}, in process)",
    ),
    "blueprint": ("# the lambda's line", "raised ZeroDivisionError: division by zero (lost.py, line {}, in <lambda>)"),
}


@pytest.mark.parametrize("how", PLACES)
def test_the_error_names_the_users_own_line(tmp_path: Path, how: str) -> None:
    (tmp_path / "lost.py").write_text(SOURCE)
    library = Library.load([Path(__file__).parents[3] / "blueprints", tmp_path])
    parent = ParentSeries.from_datasets(ct_phantom(slices=2))
    with pytest.raises(UserCodeError) as caught:
        run_pipeline(library, "lost", {"parent": parent}, {"How": how}, Options(), BuildContext())
    piece, text = PLACES[how]
    line = next(number for number, line in enumerate(SOURCE.splitlines(), 1) if piece in line)
    assert text.format(line) in caught.value.message
    assert str(tmp_path) not in caught.value.message, "the folders of the server are nobody's business"
