"""Pipelines and inputs that are written as calls, not as classes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from building import parent_of, written
from derived_series import BuildContext
from derived_series.errors import BlueprintError
from derived_series.pipelines import CommandPipeline, ContainerPipeline, Library, MercureModule, Pipeline
from derived_series.pipelines.run import Options, run_outputs
from derived_series.pipelines.workplace import Workplace
from phantoms import ct_phantom

READY = Path(__file__).resolve().parents[3] / "blueprints"

FILE = f'''
"""What is above zero."""
import sys

from derived_series.pipelines import CommandPipeline, ContainerPipeline, Input, Output, Pipeline

PROGRAM = """
import sys, nibabel, numpy
image = nibabel.load(sys.argv[1])
mask = (image.get_fdata() > 0).astype(numpy.uint8)
nibabel.save(nibabel.Nifti1Image(mask, image.affine), sys.argv[2])
"""


class CT(Input):
    required_values = {{"Modality": "CT"}}


class Plain(Pipeline):
    """A class, of which the file makes an object for itself."""

    input = {{"ct": CT, "before": Input(prior=True, optional=True), "files": CT(as_="dicom", file="case")}}
    parent_input = "ct"


plain = Plain()

above_zero = CommandPipeline(
    command=[{sys.executable!r}, "-c", PROGRAM, "{{ct}}", "{{out}}/seg.nii.gz"],
    input={{"ct": Input(as_="nifti", file="case_0000.nii.gz", required_values={{"Modality": "CT"}})}},
    outputs={{"seg": Output("segmentation")}},
    files={{"seg": "seg.nii.gz"}},
)
named = CommandPipeline(name="another_name", command=["true", "{{parent}}"], files="x.nii")
contained = ContainerPipeline(image="some/image:1", engine="podman", files="out.nii.gz", memory_mb=100, gpus=True)
_hidden = ContainerPipeline(image="some/image:1", files="out.nii.gz")
'''


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    (folder / "above_zero.py").write_text(FILE)
    loaded = Library.load([READY, folder])
    assert loaded.problems == ()
    return loaded


def test_an_object_of_a_file_is_a_pipeline(library: Library, tmp_path: Path) -> None:
    parent = parent_of(ct_phantom(3, 8, 6))
    results = run_outputs(
        library, "above_zero", {"ct": parent}, {}, Options(), BuildContext(), Workplace(folder=tmp_path)
    )
    (dataset,) = written(results.series["seg"])
    assert dataset.Modality == "SEG" and dataset.pixel_array.sum() == np.sum(parent.voxels() > 0) > 0
    assert library.pipelines["above_zero"].description == "What is above zero."


def test_its_name_is_its_own_or_that_which_it_has_in_the_file(library: Library) -> None:
    ours = {name for name, named in library.pipelines.items() if named.file.name == "above_zero.py"}
    assert ours == {"above_zero", "another_name", "contained", "plain"}
    contained: Any = library.pipeline("contained").pipeline
    assert issubclass(contained, ContainerPipeline)
    assert (contained.image, contained.engine, contained.memory_mb, contained.gpus) == (
        *("some/image:1", "podman"),
        *(100, True),
    )


def test_an_input_is_a_class_or_values(library: Library) -> None:
    inputs = library.pipeline("plain").pipeline.input
    assert [(each.prior, each.optional, each.as_) for each in inputs.values()] == [
        (False, False, "nifti"),
        (True, True, "nifti"),
        (False, False, "dicom"),
    ]
    assert inputs["files"].required_values == {"Modality": "CT"} and inputs["files"].file == "case"
    assert library.pipeline("above_zero").pipeline.input["ct"].refusal(ct_phantom(1)[0]) is None


def test_what_is_declared_wrongly_is_refused() -> None:
    values: Any = {"comand": ["true"]}
    with pytest.raises(BlueprintError, match="CommandPipeline has no 'comand'"):
        CommandPipeline(**values)
    with pytest.raises(BlueprintError, match="the input 'ct' is 'CT'"):
        type("Wrong", (Pipeline,), {"input": {"ct": "CT"}})
    assert vars(MercureModule(image="x", module="m", settings={"a": 1})) == {
        **{"image": "x", "module": "m"},
        "settings": {"a": 1},
    }


def test_an_object_without_a_file_for_its_output_is_a_problem_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from derived_series.pipelines import CommandPipeline\nwrong = CommandPipeline(command=['true', '{nothing}'])\n"
    )
    (problem,) = Library.load([tmp_path]).problems
    assert "{nothing}" in problem.message
