"""What the derived series has from its parent: marks of lossy compression, LUT shape, spacing, references to frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import LIBRARY, build, parent_of, written
from derived_series import (
    Blueprint,
    BuildContext,
    CopyElement,
    FillingStrategy,
    PlacedImage,
    PositionCopyElement,
    StaticElement,
)
from derived_series.pipelines.run import Options, run_blueprint
from multiframe import enhanced
from parents_of_kinds import image_for, phantom_for
from phantoms import ct_phantom, encode
from phantoms_4d import fmri_phantom

#: The ready blueprints of objects that have pixels.
IMAGES = sorted(
    set(LIBRARY.blueprints)
    - {"gaussian_smoothing", "suv_body_weight", "encapsulated_pdf", "rt_structure_set", "measurement_report"}
    - {"overlay_pdf", "summary_pdf"}
)


# ---- lossy compression


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("differing", [False, True])
@pytest.mark.parametrize("name", IMAGES)
def test_the_lossy_mark_with_ratio_and_method_is_on_top_of_every_image(name: str, differing: bool) -> None:
    parents = phantom_for(name, 3, 8, 8)
    for index, dataset in enumerate(parents):
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = 10 + index * differing
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
    parent = parent_of(parents)
    for dataset in written(build(parent, image_for(name, parent), blueprint=name)):
        assert dataset.LossyImageCompression == "01"
        assert 10 <= dataset.LossyImageCompressionRatio <= 12
        assert dataset.LossyImageCompressionMethod == "ISO_10918_1"


def test_two_compressions_are_both_named() -> None:
    parents = ct_phantom(3, 8, 8)
    for dataset in parents:
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = [10, 2]
        dataset.LossyImageCompressionMethod = ["ISO_10918_1", "ISO_15444_1"]
    parent = parent_of(parents)
    for name in ("ct", "legacy_enhanced_ct", "segmentation"):
        (derived, *_) = written(build(parent, image_for(name, parent), blueprint=name))
        assert derived.LossyImageCompressionRatio == [10, 2]
        assert derived.LossyImageCompressionMethod == ["ISO_10918_1", "ISO_15444_1"]


def test_ratios_by_position() -> None:
    parents = ct_phantom(3, 8, 8)
    for index, dataset in enumerate(parents):
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 10 + index
    parent = parent_of(parents)
    assert [d.LossyImageCompressionRatio for d in written(build(parent))] == [10, 11, 12]
    (enhanced,) = written(build(parent, parent.voxels(), blueprint="legacy_enhanced_ct"))
    assert enhanced.LossyImageCompressionRatio == 11, "of the middle one"


@pytest.mark.wide(quick=5)
@pytest.mark.parametrize("name", IMAGES)
def test_what_was_not_compressed_is_not_marked(name: str) -> None:
    parent = parent_of(phantom_for(name, 3, 8, 8))
    for dataset in written(build(parent, image_for(name, parent), blueprint=name)):
        assert dataset.get("LossyImageCompression") in (None, "00")
        assert "LossyImageCompressionRatio" not in dataset and "LossyImageCompressionMethod" not in dataset


@pytest.mark.parametrize(("name", "asked"), [("segmentation", 2), ("legacy_enhanced_ct", 2), ("ct", 0)])
def test_what_the_parent_does_not_say_of_its_compression_is_told_where_it_is_asked_for(
    name: str, asked: int, tmp_path: Path
) -> None:
    """Ratio and method are of type 1C in segmentations and enhanced images, of type 3 in CT images."""
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        dataset.LossyImageCompression = "01"
    parent, path = parent_of(datasets), tmp_path / "image.npy"
    np.save(path, image_for(name, parent))
    whole = run_blueprint(LIBRARY, name, "numpy", parent, path, Options(), BuildContext())
    warned = [warning for warning in whole.warnings if "LossyImageCompression" in warning]
    assert len(warned) == asked and all("the parent has it no better" in warning for warning in warned)


# ---- LUT shape


@pytest.mark.parametrize("name", ["secondary_capture", "ct"])
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize(
    "extra", [(), (CopyElement("PresentationLUTShape"),), (PositionCopyElement("PresentationLUTShape"),)]
)
def test_an_inverted_parent_gives_an_image_that_is_not(name: str, strategy: FillingStrategy, extra: Any) -> None:
    parents = ct_phantom(2, 8, 8)
    for dataset in parents:
        dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    series = build(parents, None, Blueprint(extra), blueprint=name, strategy=strategy)
    (derived, *_) = written(series)
    assert derived.PhotometricInterpretation == "MONOCHROME2" and derived.get("PresentationLUTShape") != "INVERSE"
    assert any("PresentationLUTShape" in warning for warning in series.warnings) == bool(extra)


def test_identity_may_be_said() -> None:
    extra = Blueprint([StaticElement("PresentationLUTShape", "IDENTITY")])
    assert written(build(ct_phantom(2, 8, 8), None, extra))[0].PresentationLUTShape == "IDENTITY"


# ---- spacing


def spacings(dataset: Dataset) -> list[Any]:
    groups = (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence)
    return [item.get("SpacingBetweenSlices") for group in groups for item in group.get("PixelMeasuresSequence", ())]


OBJECTS = ["segmentation", "parametric_map", "legacy_enhanced_ct", "legacy_enhanced_mr", "legacy_enhanced_pet"]


@pytest.mark.parametrize("name", OBJECTS)
def test_one_slice_has_no_spacing(name: str) -> None:
    parents = phantom_for(name, 1, 8, 8, spacing=6.25)
    for dataset in parents:
        del dataset.SpacingBetweenSlices
    (instance,) = written(build(parents, np.ones((1, 8, 8), np.uint8), blueprint=name))
    assert set(spacings(instance)) == {None}
    measures = (*instance.SharedFunctionalGroupsSequence, *instance.PerFrameFunctionalGroupsSequence)
    (thickness,) = {float(i.SliceThickness) for g in measures for i in g.get("PixelMeasuresSequence", ())}
    assert thickness == 5


@pytest.mark.parametrize("name", OBJECTS)
def test_slices_have_their_spacing(name: str) -> None:
    """Of a segmentation too that has voxels in one slice only."""
    parents = phantom_for(name, 4, 8, 8, spacing=6.25)
    image = np.zeros((4, 8, 8), np.uint8)
    image[2, 3, 3] = 1
    (dataset,) = written(build(parents, image, blueprint=name))
    assert {float(spacing) for spacing in spacings(dataset)} == {6.25}


def test_one_of_several_planes_has_no_spacing() -> None:
    parent = parent_of(ct_phantom(4, 8, 8))
    assert parent.grid is not None
    image = PlacedImage(np.ones((1, 8, 8), np.uint8), parent.grid.subset([2]))
    (dataset,) = written(build(parent, image, blueprint="segmentation"))
    assert set(spacings(dataset)) == {None}


# ---- frames


def test_every_reference_names_one_frame() -> None:
    """Of a 4D enhanced parent each slice of a 3D result has three sources; highdicom opens the objects."""
    slices = fmri_phantom(3, 4, 8, 8)
    parent = parent_of([enhanced(slices, times=[volume + 1 for volume in range(3) for _ in range(4)])])
    image = np.ones(parent.shape[1:], np.uint8)
    for name in ("segmentation", "parametric_map", "legacy_enhanced_mr", "mr", "secondary_capture"):
        for dataset in written(build(parent, image, blueprint=name)):
            frame_numbers = [e for e in dataset.iterall() if e.keyword == "ReferencedFrameNumber"]
            assert frame_numbers and all(element.VM == 1 for element in frame_numbers), name
            (series,) = dataset.ReferencedSeriesSequence
            (whole,) = series.ReferencedInstanceSequence
            assert "ReferencedFrameNumber" not in whole, "an instance, not its frames (PS3.3 table 10-11)"
    (mean,) = {
        tuple(int(i.ReferencedFrameNumber) for i in d.SourceImageSequence)
        for d in written(build(parent, image, blueprint="mr"))[1:2]
    }
    assert len(mean) == 3 and len(set(mean)) == 3
    opened = highdicom.seg.segread(io.BytesIO(encode(written(build(parent, image, blueprint="segmentation"))[0])))
    assert opened.get_volume(combine_segments=True).array.sum() == image.sum()
    for groups in opened.PerFrameFunctionalGroupsSequence:
        assert len(groups.DerivationImageSequence[0].SourceImageSequence) == 3
