"""Multi-frame parents: frames become slices with the places, values and references that the instance tells."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from building import LIBRARY, build, parent_of, positions, real, volume, written
from dciodvfy import new_errors
from derived_series import (
    Blueprint,
    BuildContext,
    CopyElement,
    FillingStrategy,
    ParentSeries,
    StaticElement,
    derivation,
    secondary_capture_blueprint,
    volume_blueprint,
)
from derived_series.dicom.factories.kinds import ParametricMapFactory, SegmentationFactory
from derived_series.dicom.modules.windows import displayed, windows_of
from derived_series.dicom.objects.highdicom_planes import close_table
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.dicom.source.multiframe.frame import FrameDataset
from derived_series.errors import InvalidParent
from derived_series.pipelines import Input
from derived_series.pipelines.run import Options, run_pipeline
from derived_series.review.manifest import series_document
from multiframe import capture, dose, enhanced, nuclear
from phantoms import compressed, ct_phantom, decoded, encode, mr_phantom, pet_phantom

CLASSIC = {
    ct_phantom: CTImageStorage,
    mr_phantom: MRImageStorage,
    pet_phantom: PositronEmissionTomographyImageStorage,
}
DONE = derivation("nothing", "PixelByPixelMean")


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
@pytest.mark.parametrize("phantom", CLASSIC)
def test_frames_are_the_slices_that_they_were(phantom: Any, orientation: str) -> None:
    slices = phantom(5, 8, 6, orientation=orientation)
    random.Random(1).shuffle(slices)
    classic, parent = parent_of(slices), parent_of([enhanced(slices)])
    assert parent.shape == (5, 8, 6) and parent.grid == classic.grid
    assert np.array_equal(parent.voxels(), classic.voxels()) and np.array_equal(parent.stored(), classic.stored())
    one, other = build(parent, extra=DONE), build(classic, extra=DONE)
    assert np.array_equal(volume(one), volume(other))
    assert positions(written(one)) == positions(written(other)) == positions(classic.instances)


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("phantom", CLASSIC)
def test_the_derived_series_is_classic_and_refers_to_frames(phantom: Any, strategy: FillingStrategy) -> None:
    slices = phantom(4, 8, 8)[::-1]
    source = enhanced(slices)
    series = build(parent_of([source]), extra=DONE, strategy=strategy)
    assert series.warnings == ()
    for index, dataset in enumerate(written(series)):
        assert dataset.SOPClassUID == CLASSIC[phantom]
        (image,) = dataset.SourceImageSequence
        (reference,) = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        for item in (image, reference):
            assert item.ReferencedSOPClassUID == source.SOPClassUID
            assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert image.ReferencedFrameNumber == 4 - index and "ReferencedFrameNumber" not in reference
        assert dataset.AcquisitionTime == slices[3 - index].AcquisitionTime
        assert not [e.keyword for e in dataset if "FunctionalGroups" in e.keyword or "Dimension" in e.keyword]
        assert "NumberOfFrames" not in dataset
        assert encode(series.dataset(index)) == series.encode(index)
    assert new_errors(series.encode(1), [source, *slices]) == []


@pytest.mark.parametrize("phantom", CLASSIC)
def test_a_blueprint_that_copies_the_class_gets_the_classic_one(phantom: Any) -> None:
    dataset = build(parent_of([enhanced(phantom(2, 4, 4))]), extra=Blueprint([CopyElement("SOPClassUID")])).dataset(0)
    assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == CLASSIC[phantom]


def test_what_the_groups_say_of_mr_is_in_classic_attributes() -> None:
    (first, *_) = written(build(parent_of([enhanced(mr_phantom(3, 4, 4))]), extra=DONE))
    assert first.RepetitionTime == 2300 and first.EchoTime == 2.98 and first.InversionTime == 900
    assert first.FlipAngle == 9 and first.EchoTrainLength == 1 and first.NumberOfAverages == 1
    assert list(first.ScanningSequence) == ["GR", "IR"] and list(first.SequenceVariant) == ["SP", "MP"]
    assert first.SequenceName == "tfl3d1" and first.ImagingFrequency == 123.25
    assert first.InPlanePhaseEncodingDirection == "COL" and first.NumberOfPhaseEncodingSteps == 192
    assert first.DiffusionBValue == 1000 and list(first.DiffusionGradientOrientation) == [0, 0.6, 0.8]
    assert first.AcquisitionDateTime == "20240312103000.50+0100" and first.AcquisitionDate == "20240312"


def test_what_the_groups_say_of_ct_is_in_classic_attributes() -> None:
    parent = parent_of([enhanced(ct_phantom(3, 4, 4))])
    (first, *_) = written(build(parent, extra=DONE + Blueprint([CopyElement("XRayTubeCurrent")])))
    assert first.KVP == 120 and first.ConvolutionKernel == "H31s" and first.DataCollectionDiameter == 500
    assert first.XRayTubeCurrent == 250  # IS: a whole number
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]


def test_an_enhanced_pet_has_the_suv_of_the_classic_one() -> None:
    slices = pet_phantom(3, 8, 8)
    volumes = []
    for parent in (parent_of(slices), parent_of([enhanced(slices)])):
        series = run_pipeline(LIBRARY, "suv_body_weight", {"pet": parent}, {}, Options(), BuildContext())
        volumes.append(np.stack([real(series.dataset(index)) for index in range(len(series))]))
    assert np.array_equal(*volumes) and volumes[0].max() > 1  # type: ignore[arg-type]


def test_what_enhanced_pet_says_is_in_classic_attributes() -> None:
    (first, *_) = written(build(parent_of([enhanced(pet_phantom(3, 4, 4))]), extra=DONE))
    assert first.Units == "BQML" and first.DecayCorrection == "START" and list(first.SeriesType) == ["STATIC", "IMAGE"]
    assert first.FrameReferenceTime == 300000 and first.ActualFrameDuration == 600000
    assert list(first.CorrectedImage) == ["DECY", "ATTN", "RAN"]


@pytest.mark.parametrize(
    ("code", "units", "suv"), [("g/ml{SUVbw}", "GML", "BW"), ("Bq/ml", "BQML", None), ("{counts}/s", "CPS", None)]
)
def test_units_of_enhanced_pet_are_those_of_its_real_world_values(code: str, units: str, suv: str | None) -> None:
    source = enhanced(pet_phantom(2, 4, 4))
    unit, mapping = Dataset(), Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = code, "UCUM", code
    mapping.MeasurementUnitsCodeSequence = [unit]
    source.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [mapping]
    for groups in source.PerFrameFunctionalGroupsSequence:
        del groups.PixelValueTransformationSequence[0].RescaleType
    (first, _) = written(build(parent_of([source]), extra=DONE))
    assert first.Units == units and first.get("SUVType") == suv


def test_an_instance_of_one_frame_unfolds_too() -> None:
    source = enhanced(ct_phantom(1, 4, 4))
    parent = parent_of([source])
    assert isinstance(parent.pivot, FrameDataset) and parent.shape == (1, 4, 4)
    (dataset,) = written(build(parent, extra=DONE))
    assert dataset.SOPClassUID == CTImageStorage
    assert "ReferencedFrameNumber" not in dataset.SourceImageSequence[0]  # the only frame is the whole instance


def test_several_instances_make_one_volume() -> None:
    """A concatenation, or an object for each station."""
    slices = ct_phantom(6, 4, 4)
    parts = [enhanced(slices[3:], name="b"), enhanced(slices[:3], name="a")]
    parent = parent_of(parts)
    assert np.array_equal(parent.voxels(), parent_of(slices).voxels())
    items = [dataset.SourceImageSequence[0] for dataset in written(build(parent, extra=DONE))]
    assert [int(item.ReferencedFrameNumber) for item in items] == [1, 2, 3, 1, 2, 3]
    assert [item.ReferencedSOPInstanceUID for item in items] == [parts[1].SOPInstanceUID] * 3 + [
        parts[0].SOPInstanceUID
    ] * 3


def concatenation(parts: int = 3) -> list[Dataset]:
    """Six CT slices in several instances of one concatenation."""
    slices, size = ct_phantom(6, 4, 4), 6 // parts
    instances = [enhanced(slices[n * size : (n + 1) * size], name=str(n)) for n in range(parts)]
    for number, instance in enumerate(instances):
        instance.ConcatenationUID, instance.InConcatenationNumber = "1.2.3", number + 1
        instance.InConcatenationTotalNumber, instance.ConcatenationFrameOffsetNumber = parts, number * size
    return instances


def test_a_concatenation_is_one_image() -> None:
    parent = parent_of(concatenation())
    assert not parent.warnings and np.array_equal(parent.voxels(), parent_of(ct_phantom(6, 4, 4)).voxels())


@pytest.mark.parametrize(
    ("count", "problem"), [(True, "2 of its 3 parts are there"), (False, "its frames 3 to 4 are not")]
)
def test_a_part_of_a_concatenation_that_is_not_there_is_told(count: bool, problem: str) -> None:
    """By InConcatenationTotalNumber, which is of type 3, or by the frames that are before each part."""
    first, _, last = concatenation()
    if not count:
        del first.InConcatenationTotalNumber, last.InConcatenationTotalNumber
    (warning,) = (w for w in build([first, last]).warnings if "ConcatenationUID" in w)
    assert problem in warning and "1.2.3" in warning


def test_all_frames_of_one_instance_are_one_reference() -> None:
    """An image without geometry comes from all frames: they are the whole instance; some are named one by one."""
    source = enhanced(ct_phantom(4, 8, 8))
    parent = parent_of([source])
    (item,) = written(build(parent, np.ones((1, 5, 5)), DONE, blueprint="secondary_capture"))[0].SourceImageSequence
    assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID and "ReferencedFrameNumber" not in item
    import nibabel as nib

    from derived_series import NiftiFactory

    affine = parent.affine_ras[:, [2, 1, 0, 3]].copy()
    affine[:3, :3] /= 2
    thin = nib.Nifti1Image(np.ones((16, 16, 2), np.float32), affine)
    series = build(parent, thin, DONE, factory=NiftiFactory())
    wanted = [[1], [1, 2]]  # the first slice is in the plane of the first frame, the other between two
    for index, dataset in enumerate(written(series)):
        assert [item.ReferencedFrameNumber for item in dataset.SourceImageSequence] == wanted[index]
        assert {item.SpatialLocationsPreserved for item in dataset.SourceImageSequence} == {"NO"}
        assert encode(series.dataset(index)) == series.encode(index)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_compressed_frames_are_decoded_one_by_one(syntax: Any, tmp_path: Path) -> None:
    slices = mr_phantom(3, 32, 33)
    (packed,) = compressed([enhanced(slices)], syntax)
    path = tmp_path / "packed.dcm"
    path.write_bytes(encode(packed))
    for parent in (ParentSeries.from_datasets([packed]), ParentSeries.from_files([path])):
        assert np.array_equal(parent.voxels(), parent_of(slices).voxels())


def test_frames_in_a_file_are_read_alone(tmp_path: Path) -> None:
    slices = ct_phantom(40, 32, 24)
    path = tmp_path / "frames.dcm"
    path.write_bytes(encode(enhanced(slices)))
    parent = ParentSeries.from_files([path])
    assert np.array_equal(parent.voxels(), parent_of(slices).voxels())
    raw = dict(parent.pivot.source.items())[0x7FE00010]
    assert raw.value is None  # still in the file


def test_frames_share_what_they_have_in_common() -> None:
    source = enhanced(ct_phantom(3, 4, 4))
    source.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "kept")
    parent = parent_of([source])
    one, other = parent.instances[0], parent.instances[2]
    assert one["PatientName"] is other["PatientName"]
    assert one["PixelSpacing"] is other["PixelSpacing"]
    assert other[0x00091001].value == "kept" and other.private_block(0x0009, "ACME")[1].value == "kept"
    assert np.array_equal(other.pixel_array, parent.stored()[2])
    assert parent.is_constant("PixelSpacing") and not parent.is_constant("ImagePositionPatient")


def test_a_copy_of_a_frame_is_a_classic_dataset() -> None:
    """What a pipeline does that returns datasets: copy, change, give back."""
    parent = parent_of([enhanced(ct_phantom(3, 4, 4))])
    copies = [copy.deepcopy(dataset) for dataset in parent.instances]
    for dataset, values in zip(copies, parent.stored(), strict=True):
        dataset.PatientComments = "changed"
        dataset.PixelData = values.tobytes()
    assert not any("PatientComments" in dataset for dataset in parent.instances)
    series = from_user_datasets(copies, parent, BuildContext().seeded())
    datasets = [decoded(series.encode(index)) for index in range(3)]
    assert np.array_equal(parent_of(datasets).voxels(), parent.voxels())
    assert {dataset.file_meta.MediaStorageSOPClassUID for dataset in datasets} == {CTImageStorage}


def test_legacy_converted_objects_say_what_no_group_does() -> None:
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    slices = [decoded(encode(dataset)) for dataset in ct_phantom(4, 8, 8)]
    for dataset in slices:
        dataset.FrameOfReferenceUID = slices[0].FrameOfReferenceUID
    source = LegacyConvertedEnhancedCTImage(
        slices, series_instance_uid="2.25.1", series_number=9, sop_instance_uid="2.25.2", instance_number=1
    )
    close_table(source)
    parent = parent_of([source])
    classic = parent_of(slices)
    assert np.array_equal(parent.voxels(), classic.voxels()) and parent.grid == classic.grid
    series = build(parent, extra=DONE)
    for dataset, before in zip(written(series), classic.instances, strict=True):
        assert dataset.SOPClassUID == CTImageStorage and dataset.KVP == 120
        assert float(dataset.AcquisitionTime) == float(before.AcquisitionTime) and dataset.ConvolutionKernel == "H31s"
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == "2.25.2"
    assert new_errors(series.encode(0), [encode(source), *slices]) == []


PLACED = volume_blueprint + secondary_capture_blueprint + DONE


@pytest.mark.parametrize("descending", [False, True])
def test_reconstructed_nm_is_placed_by_its_detector(descending: bool) -> None:
    slices = ct_phantom(4, 8, 6, orientation="oblique", descending=descending)
    parent = parent_of([nuclear(slices, spacing=-2.5 if descending else 2.5)])
    grid = parent_of(slices).require_grid()
    assert np.allclose(parent.require_grid().positions, grid.positions, atol=1e-6)
    series = build(parent, parent.stored(), PLACED, blueprint="secondary_capture")
    first, *_ = written(series)
    assert first.SOPClassUID == SecondaryCaptureImageStorage and first.Modality == "NM"
    assert first.SourceImageSequence[0].ReferencedFrameNumber == (4 if descending else 1)
    assert new_errors(series.encode(0), [nuclear(slices, spacing=2.5)]) == []


def _projections(slices: list[Dataset]) -> Dataset:
    return nuclear(slices, spacing=2.5, kind="TOMO")


@pytest.mark.parametrize("packed", [_projections, capture], ids=["NM projections", "secondary capture"])
def test_frames_that_are_nowhere_keep_their_order(packed: Any) -> None:
    slices = ct_phantom(4, 8, 6, descending=True)
    source = packed(slices)
    parent = parent_of([source])
    assert parent.grid is None and parent.shape == (4, 8, 6)
    assert np.array_equal(parent.stored(), np.stack([one.pixel_array for one in slices]))
    for strategy in FillingStrategy:
        series = build(parent, parent.stored(), DONE, blueprint="secondary_capture", strategy=strategy)
        datasets = written(series)
        assert [dataset.SOPClassUID for dataset in datasets] == [SecondaryCaptureImageStorage] * 4
        assert not {"ImagePositionPatient", "NumberOfFrames", "FrameIncrementPointer"} & {
            e.keyword for e in datasets[0]
        }
        assert np.array_equal(volume(series), parent.stored())
    assert new_errors(series.encode(0), [source]) == []


@pytest.mark.parametrize("first", [0.0, 30.0])
def test_a_dose_is_placed_by_its_offsets(first: float) -> None:
    """From the first frame, or as positions along the normal; scaled by DoseGridScaling."""
    slices = ct_phantom(4, 8, 6)
    source = dose(slices, [first + 2.5 * index for index in range(4)])
    parent = parent_of([source])
    assert parent.grid == parent_of(slices).grid
    assert np.allclose(parent.voxels(), parent.stored() * 0.001)
    (one, *_) = written(build(parent, None, PLACED, blueprint="secondary_capture", strategy=FillingStrategy.COPY))
    assert not {"GridFrameOffsetVector", "DoseGridScaling", "NumberOfFrames"} & {element.keyword for element in one}


@pytest.mark.parametrize("relative", [True, False])
def test_a_dose_whose_normal_points_down_is_placed_by_its_offsets_or_by_z(relative: bool) -> None:
    """Offsets from 0 go along the normal; those that begin at the first frame's z are z (PS3.3 C.8.8.3.2)."""
    slices = ct_phantom(4, 8, 6)
    for one in slices:
        one.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    below = [float(one.ImagePositionPatient[2]) for one in slices]
    source = dose(slices, [0.0, -2.5, -5.0, -7.5] if relative else below)
    parent = parent_of([source])
    assert parent.grid == parent_of(slices).grid and parent.grid is not None
    assert [round(z, 3) for _, _, z in parent.grid.positions] == below[::-1]
    assert np.allclose(parent.voxels(), parent_of(slices).stored() * 0.001)


def test_a_dose_of_one_plane_is_scaled_too() -> None:
    slices = ct_phantom(1, 8, 6)
    source = dose(slices, [])
    del source.GridFrameOffsetVector, source.NumberOfFrames
    parent = parent_of([source])
    assert parent.grid == parent_of(slices).grid and np.allclose(parent.voxels(), parent.stored() * 0.001)


def test_gated_nm_is_a_volume_a_time_slot() -> None:
    slices = ct_phantom(3, 8, 6)
    source = nuclear([*slices, *slices[::-1]], spacing=2.5)
    source.SliceVector, source.TimeSlotVector = [1, 2, 3, 3, 2, 1], [1, 1, 1, 2, 2, 2]
    parent = parent_of([source])
    assert parent.shape == (2, 3, 8, 6)
    assert np.array_equal(parent.stored()[0], parent.stored()[1])


def test_copy_takes_nothing_that_only_enhanced_objects_say() -> None:
    source = enhanced(mr_phantom(2, 4, 4))
    source.VolumetricProperties, source.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    (first, _) = written(build(parent_of([source]), extra=DONE, strategy=FillingStrategy.COPY))
    never = {"ComplexImageComponent", "VolumetricProperties", "VolumeBasedCalculationTechnique"}
    assert not never & {element.keyword for element in first}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_values_that_are_not_numbers_are_refused() -> None:
    number = encode(enhanced(ct_phantom(3, 4, 4))).replace(b"IS\x02\0003 ", b"IS\x02\0003x")
    with pytest.raises(InvalidParent, match="NumberOfFrames .* is not a number: .*3x"):
        ParentSeries.from_bytes([number])
    spacing = encode(nuclear(ct_phantom(3, 4, 4), spacing=2.5)).replace(b"DS\x04\x002.5 ", b"DS\x04\x002.x ")
    with pytest.raises(InvalidParent, match="frames of instance .* cannot be told from its attributes"):
        ParentSeries.from_bytes([spacing])


@pytest.mark.parametrize("count", [2**31 - 1, 131073, -3])
@pytest.mark.parametrize("packed", [capture, enhanced])
def test_more_frames_than_there_can_be_are_refused_at_once(packed: Any, count: int) -> None:
    source = packed(ct_phantom(3, 4, 4))
    source.NumberOfFrames = count
    with pytest.raises(InvalidParent, match=f"says to have {count} frames"):
        ParentSeries.from_datasets([source])


def test_objects_of_frames_refer_to_frames_and_can_be_parents() -> None:
    parent = parent_of([enhanced(ct_phantom(4, 16, 15)[::-1])])
    labels = np.zeros(parent.shape, np.uint8)
    labels[1:3, 2:5, 3:6] = 1
    series = build(parent, labels, blueprint="segmentation", factory=SegmentationFactory())
    dataset = decoded(series.encode(0))
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (item,) = frame.DerivationImageSequence[0].SourceImageSequence
        (source,) = [
            one
            for one in parent.instances
            if one["ImagePositionPatient"].value == list(frame.PlanePositionSequence[0].ImagePositionPatient)
        ]
        assert isinstance(source, FrameDataset) and item.ReferencedFrameNumber == source.number
    segment = parent_of([dataset])
    assert segment.shape == (2, 16, 15) and np.array_equal(segment.stored(), labels[1:3])
    labels[2] *= 2
    two = build(parent, labels, blueprint="segmentation", factory=SegmentationFactory())
    with pytest.raises(InvalidParent, match="a segmentation of 2 segments"):
        parent_of([decoded(two.encode(0))])
    map_of = build(parent, parent.voxels() / 3, blueprint="parametric_map", factory=ParametricMapFactory())
    assert np.array_equal(parent_of([decoded(map_of.encode(0))]).voxels(), parent.voxels() / 3)


def _parametric_map(slope: float, intercept: float, *, mappings: int = 1) -> Dataset:
    """A stored map of 3 slices, of 0 to 5, with a mapping of its own; each further one has twice the slope."""
    parent = parent_of(ct_phantom(3, 4, 4))
    series = build(parent, np.linspace(0, 5, 48).reshape(3, 4, 4), blueprint="parametric_map")
    (stored_map,) = written(series)
    (group,) = stored_map.SharedFunctionalGroupsSequence
    (mapping,) = group.RealWorldValueMappingSequence
    group.RealWorldValueMappingSequence = [copy.deepcopy(mapping) for _ in range(mappings)]
    for number, item in enumerate(group.RealWorldValueMappingSequence):
        item.RealWorldValueSlope, item.RealWorldValueIntercept = slope * 2**number, intercept
    return stored_map


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.01, -5.0), (-2.0, 0.0), (1.0, 273.15)])
def test_values_of_a_parametric_map_are_those_of_its_mapping(slope: float, intercept: float) -> None:
    """A map has no rescale but that to real-world values (PS3.3 C.7.6.16.2.11), whatever its pixels are."""
    source = _parametric_map(slope, intercept)
    parent = parent_of([source])
    wanted = np.linspace(0, 5, 48, dtype=np.float32).reshape(3, 4, 4) * slope + intercept
    assert np.allclose(parent.voxels(), wanted, atol=1e-5) and not parent.warnings
    del source.FloatPixelData
    source.BitsAllocated = source.BitsStored = 16
    source.HighBit, source.PixelRepresentation = 15, 0
    source.PixelData = np.arange(48, dtype="<u2").tobytes()
    source["PixelData"].VR = "OW"
    whole = parent_of([source])
    assert sorted(whole.stored().ravel()) == list(range(48))
    assert np.allclose(whole.voxels(), whole.stored() * slope + intercept, atol=1e-4)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", ""])
def test_the_window_of_a_parametric_map_is_in_the_units_of_its_mapping(function: str) -> None:
    """It is of the values before the mapping (PS3.3 C.7.6.16.2.11), and shows the same greys after it."""
    source = _parametric_map(0.01, -5.0)
    (voi,) = source.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = [2.5, 1], [3, 2], function
    (frame, *_) = parent_of([source]).instances
    values = np.linspace(0, 5, 9)
    for (centre, width), after in zip([(2.5, 3.0), (1.0, 2.0)], windows_of(frame), strict=True):
        shown = displayed(values * 0.01 - 5, *after, frame.VOILUTFunction)
        assert np.allclose(shown, displayed(values, centre, width, function or None))
    document = series_document([source], {str(source.SOPInstanceUID): "id"})
    assert document["Window"] == pytest.approx(windows_of(frame)[0]) and document["WindowStep"] == 1
    turned = _parametric_map(-1.0, 0.0)
    assert "WindowCenter" not in parent_of([turned]).instances[0]


def test_mappings_that_differ_leave_a_parametric_map_as_it_is_stored() -> None:
    parent = parent_of([_parametric_map(0.5, 0, mappings=2)])
    assert np.allclose(parent.voxels().ravel(), np.linspace(0, 5, 48))
    (warning,) = parent.warnings
    assert "RealWorldValueMappingSequence (0040,9096) of the parent series has 2" in warning


def test_groups_that_do_not_fit_are_refused() -> None:
    source = enhanced(ct_phantom(3, 4, 4))
    del source.PerFrameFunctionalGroupsSequence[1]
    with pytest.raises(InvalidParent, match="3 frames .*PerFrameFunctionalGroupsSequence has 2 items"):
        parent_of([source])
    short = enhanced(ct_phantom(3, 4, 4))
    short.PixelData = short.PixelData[:80]
    with pytest.raises(InvalidParent, match="80 bytes of pixels, 3 frames of 4 x 4 of 16 bits need 96"):
        parent_of([short]).voxels()


def test_an_input_of_a_pipeline_has_all_frames() -> None:
    source = enhanced(ct_phantom(3, 4, 4))
    data = Input(parent_of([source])).data
    assert list(data) == [f"{source.SOPInstanceUID}/{number}" for number in (1, 2, 3)]


def test_the_parent_of_a_mask() -> None:
    parent = parent_of([enhanced(ct_phantom(3, 8, 8))])
    mask = np.zeros(parent.shape, bool)
    mask[1, 2:5, 3:6] = True
    extra = DONE + Blueprint([StaticElement("SeriesDescription", "mask")])
    assert np.array_equal(volume(build(parent, mask, extra)), mask)
