"""Images of several inputs: the frame of reference of the one that they are on, and references to all that went in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import DataElement

from building import REPOSITORY, parent_of, positions, written
from derived_series import BuildContext, ParentSeries
from derived_series.dicom.image.resampling import Resampling
from derived_series.errors import GeometryError, ValidationFailed
from derived_series.pipelines import Library
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ct_phantom, mr_phantom, uid

SOURCE = """
from dataclasses import replace

from derived_series import PlacedImage, StaticElement, Blueprint
from derived_series.pipelines import Input, Pipeline

class Register(Pipeline):
    input = {"moving": Input, "fixed": Input}
    parent_input = "moving"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["NAME"]

    def process(self, input_container):
        fixed = input_container.parents["fixed"]
        return PlacedImage(VALUES, fixed.grid, on="fixed")

class Elsewhere(Register):
    def process(self, input_container):
        return PlacedImage(input_container.parents["fixed"].voxels(), input_container.parents["fixed"].grid, on="fixd")

class Far(Register):
    def process(self, input_container):
        fixed = input_container.parents["fixed"]
        positions = tuple((x + 900, y, z) for x, y, z in fixed.grid.positions)
        return PlacedImage(fixed.voxels(), replace(fixed.grid, positions=positions), on="fixed")

class Sum(Pipeline):
    input = {"first": Input, "second": Input}
    parent_input = "first"

    def blueprint_for(self, parent, parameters, blueprints, inputs):
        assert inputs["first"] is parent
        return blueprints["ct"] + Blueprint([StaticElement("SeriesDescription", f"with {inputs['second'].modality}")])

    def process(self, input_container):
        return input_container["first"].voxels()
"""


def library(folder: Path, blueprint: str = "ct", values: str = "fixed.voxels()") -> Library:
    (folder / "registration.py").write_text(SOURCE.replace("NAME", blueprint).replace("VALUES", values))
    loaded = Library.load([REPOSITORY / "blueprints", folder])
    assert not loaded.problems
    return loaded


def pair(*, one_frame: bool = False) -> dict[str, ParentSeries]:
    """A moving CT and a fixed coronal MR, in two frames of reference, or in one."""
    moving = ct_phantom(5, 12, 10, series="moving")
    fixed = mr_phantom(4, 16, 14, orientation="coronal", series="fixed")
    for dataset in fixed:
        dataset.FrameOfReferenceUID = moving[0].FrameOfReferenceUID if one_frame else uid("another frame of reference")
        dataset.PositionReferenceIndicator = "NASION"
    return {"moving": parent_of(moving), "fixed": parent_of(fixed)}


def run(
    where: Library, inputs: Mapping[str, ParentSeries], name: str = "register", options: Options | None = None
) -> Any:
    return run_pipeline(where, name, inputs, {}, options or Options(), BuildContext())


def referenced(dataset: Any) -> dict[str, set[str]]:
    """SeriesInstanceUID -> the instances that ReferencedSeriesSequence names."""
    return {
        str(series.SeriesInstanceUID): {str(i.ReferencedSOPInstanceUID) for i in series.ReferencedInstanceSequence}
        for series in dataset.ReferencedSeriesSequence
    }


def uids(series: ParentSeries) -> set[str]:
    return {str(instance.SOPInstanceUID) for instance in series.instances}


def test_the_frame_of_reference_is_that_of_the_input_that_it_is_on(tmp_path: Path) -> None:
    """The gate, which is Strict here, agrees; it still refuses another one."""
    inputs = pair()
    fixed = inputs["fixed"]
    series = run(library(tmp_path), inputs)
    datasets = written(series)
    assert {str(d.FrameOfReferenceUID) for d in datasets} == {str(fixed.pivot.FrameOfReferenceUID)}
    assert {d.PositionReferenceIndicator for d in datasets} == {"NASION"}
    assert np.allclose(positions(datasets), fixed.require_grid().positions, atol=1e-3)
    assert not any("does not have" in warning for warning in series.warnings)
    moving = DataElement(0x00200052, "UI", inputs["moving"].pivot.FrameOfReferenceUID)
    wrong = replace(series, elements={**series.elements, (0x00200052, ""): moving})
    with pytest.raises(ValidationFailed, match=r"FrameOfReferenceUID.*the coordinates are those of"):
        check_series(wrong, inputs["moving"], "Strict")


def test_all_that_went_in_is_named(tmp_path: Path) -> None:
    """Of the fixed input each slice names the one at its own place; of the moving one, whose place is unknown, all."""
    inputs = pair()
    for index, dataset in enumerate(written(run(library(tmp_path), inputs))):
        named = {str(item.ReferencedSOPInstanceUID): item for item in dataset.SourceImageSequence}
        uid = str(inputs["fixed"].instances[index].SOPInstanceUID)
        assert set(named) == uids(inputs["moving"]) | {uid}
        assert {key for key, item in named.items() if item.SpatialLocationsPreserved == "YES"} == {uid}
        assert referenced(dataset) == {
            inputs["moving"].series_instance_uid: uids(inputs["moving"]),
            inputs["fixed"].series_instance_uid: {uid},
        }


def test_in_one_frame_of_reference_it_is_kept(tmp_path: Path) -> None:
    inputs = pair(one_frame=True)
    datasets = written(run(library(tmp_path), inputs))
    assert {str(d.FrameOfReferenceUID) for d in datasets} == {str(inputs["moving"].pivot.FrameOfReferenceUID)}
    assert all(uids(inputs["fixed"]) & set(referenced(d)[inputs["fixed"].series_instance_uid]) for d in datasets)


@pytest.mark.parametrize(
    ("blueprint", "values"),
    [
        ("segmentation", "(fixed.voxels() > 100)"),
        ("parametric_map", "fixed.voxels()"),
        ("legacy_enhanced_ct", "fixed.voxels()"),
    ],
)
def test_objects_of_many_frames(tmp_path: Path, blueprint: str, values: str) -> None:
    inputs = pair()
    (dataset,) = written(run(library(tmp_path, blueprint, values), inputs))
    assert dataset.FrameOfReferenceUID == inputs["fixed"].pivot.FrameOfReferenceUID
    assert referenced(dataset).keys() == {series.series_instance_uid for series in inputs.values()}
    every = set().union(*referenced(dataset).values())
    assert every == uids(inputs["moving"]) | uids(inputs["fixed"])
    if blueprint == "legacy_enhanced_ct":  # one source a frame: the image that it is on
        there = {str(d.SOPInstanceUID): d.ImagePositionPatient for d in inputs["fixed"].instances}
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            (source,) = frame.ConversionSourceAttributesSequence
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            assert np.allclose(there[source.ReferencedSOPInstanceUID], position, atol=1e-3)


def test_an_input_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"on the input 'fixd'; the inputs are moving, fixed"):
        run(library(tmp_path), pair(), "elsewhere")


def test_it_is_not_resampled_into_another_frame_of_reference(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="cannot be resampled to the parent's grid"):
        run(library(tmp_path), pair(), options=Options(resampling=Resampling()))


def test_it_has_to_overlap_the_input_that_it_is_on(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="does not overlap the input 'fixed'"):
        run(library(tmp_path), pair(), "far")


def test_a_blueprint_may_depend_on_all_inputs_and_they_are_named(tmp_path: Path) -> None:
    """Of an image on the parent's grid as well."""
    inputs = {"first": parent_of(ct_phantom(3, 8, 7)), "second": parent_of(mr_phantom(3, 8, 7, series="other"))}
    datasets = written(run(library(tmp_path), inputs, "sum"))
    assert {d.SeriesDescription for d in datasets} == {"with MR"}
    for index, dataset in enumerate(datasets):
        first = dataset.SourceImageSequence[0]
        assert first.ReferencedSOPInstanceUID == inputs["first"].instances[index].SOPInstanceUID
        assert first.SpatialLocationsPreserved == "YES"
        assert referenced(dataset).keys() == {series.series_instance_uid for series in inputs.values()}
