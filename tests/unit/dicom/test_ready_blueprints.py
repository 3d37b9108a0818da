"""The named blueprints: what the modules require is there, and dciodvfy finds nothing that the parent does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import READY, Parents, build, parent_of, ready, stored, written
from dciodvfy import errors, new_errors
from derived_series import FillingStrategy, NiftiFactory, ParentSeries, dicom
from derived_series.dicom import modules
from derived_series.errors import HeaderError
from multiframe import enhanced
from phantoms import ct_phantom, mr_phantom, pet_phantom

PARENTS = Parents(
    {
        "ct": lambda: parent_of(ct_phantom(3, 16, 12)),
        "mr": lambda: parent_of(mr_phantom(3, 16, 12)),
        "pet": lambda: parent_of(pet_phantom(3, 16, 12)),
    }
)
NAMES = [*PARENTS, "secondary_capture"]

GENERAL_1 = "StudyInstanceUID Modality SeriesInstanceUID SOPClassUID SOPInstanceUID"
GENERAL_2 = """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
ReferringPhysicianName StudyID SeriesNumber Manufacturer InstanceNumber"""
PLANE_1 = "FrameOfReferenceUID ImagePositionPatient ImageOrientationPatient PixelSpacing"
PLANE_2 = "PositionReferenceIndicator SliceThickness"
PIXEL_1 = """SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit
PixelRepresentation PixelData"""
TYPE_1 = {
    "ct": f"{PLANE_1} ImageType RescaleIntercept RescaleSlope",
    "mr": f"{PLANE_1} ImageType ScanningSequence SequenceVariant",
    "pet": f"""{PLANE_1} SeriesDate SeriesTime NumberOfSlices CorrectedImage Units SeriesType DecayCorrection
        RescaleIntercept RescaleSlope FrameReferenceTime ImageIndex""",
    "secondary_capture": "ConversionType",
}
TYPE_2 = {
    "ct": f"{PLANE_2} KVP AcquisitionNumber PatientPosition",
    "mr": f"{PLANE_2} ScanOptions MRAcquisitionType EchoTime EchoTrainLength PatientPosition",
    "pet": f"{PLANE_2} CollimatorType AcquisitionDate AcquisitionTime ActualFrameDuration",
    "secondary_capture": "",
}
DERIVATION = """ImageType DerivationDescription DerivationCodeSequence SourceImageSequence ReferencedSeriesSequence
ContributingEquipmentSequence"""
IMAGES: dict[str, Any] = {
    "own": lambda voxels: voxels,
    "scaled": lambda voxels: voxels * np.float32(1.37),
    "signed": lambda voxels: (voxels - 500).astype(np.int16),
    "mask": lambda voxels: voxels > voxels.mean(),
    "uint8": lambda voxels: (voxels > voxels.mean()).astype(np.uint8) * 7,
    "constant": lambda voxels: np.full_like(voxels, 0.1),
}


def parent_for(name: str) -> ParentSeries:
    return PARENTS.get(name, PARENTS["mr"])


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_dciodvfy_finds_nothing_that_the_parent_does_not_have(name: str, image: str) -> None:
    parent = parent_for(name)
    for strategy in FillingStrategy:
        series = build(parent, IMAGES[image](parent.voxels()), blueprint=name, strategy=strategy)
        assert new_errors(series.encode(1), parent.instances[:1]) == []
        assert errors(series.encode(1)) == []  # the phantoms have none themselves


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize("name", ["ct", "mr", "pet"])
@pytest.mark.parametrize("orientation", ["sagittal", "oblique"])
def test_dciodvfy_on_another_grid(name: str, orientation: str) -> None:
    phantom = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}[name]
    parent = parent_of(phantom(3, 8, 7, orientation=orientation))
    image = parent.to_nifti()
    image.affine[:3, 3] += 1.1
    for strategy in FillingStrategy:
        try:
            series = build(parent, image, blueprint=name, factory=NiftiFactory(), strategy=strategy)
        except HeaderError as error:  # a PET phantom whose times differ by slice
            assert name == "pet" and "FrameReferenceTime" in str(error)
            continue
        assert new_errors(series.encode(1), parent.instances) == []


@pytest.mark.parametrize("name", ["ct", "mr", "pet", "secondary_capture"])
def test_dciodvfy_with_a_parent_that_lacks_what_may_be_lacking(name: str) -> None:
    phantom = {"ct": ct_phantom, "mr": mr_phantom}.get(name, pet_phantom)
    datasets = phantom(2, 8, 7)
    keywords = f"{GENERAL_2} {PLANE_2} {TYPE_2[name]} PatientOrientationCodeSequence PatientAge ImageType".split()
    for dataset in datasets:
        for keyword in keywords:
            if keyword in dataset:
                delattr(dataset, keyword)
    parent = parent_of(datasets)
    for strategy in FillingStrategy:
        series = build(parent, blueprint=name, strategy=strategy)
        assert new_errors(series.encode(0), parent.instances) == []


@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", NAMES)
def test_what_the_modules_require_is_there(name: str, strategy: FillingStrategy) -> None:
    for dataset in written(build(parent_for(name), blueprint=name, strategy=strategy)):
        for keyword in f"{GENERAL_1} {PIXEL_1} {TYPE_1[name]} {DERIVATION}".split():
            assert keyword in dataset and not dataset[keyword].is_empty, keyword
        for keyword in f"{GENERAL_2} {TYPE_2[name]}".split():
            assert keyword in dataset, keyword


@pytest.mark.parametrize("name", NAMES)
def test_the_derivation_is_told(name: str) -> None:
    parent = parent_for(name)
    series = build(parent, blueprint=name)
    for before, after in zip(parent.instances, written(series), strict=True):
        assert after.ImageType[0] == "DERIVED"
        (source,) = after.SourceImageSequence
        assert (source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID) == (
            before.SOPClassUID,
            before.SOPInstanceUID,
        )
        assert source.SpatialLocationsPreserved == "YES"
        (purpose,) = source.PurposeOfReferenceCodeSequence
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("121322", "DCM")
        (reference,) = after.ReferencedSeriesSequence
        assert reference.SeriesInstanceUID == parent.series_instance_uid
        assert reference.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
        (equipment,) = after.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert equipment.Manufacturer and equipment.SoftwareVersions and equipment.ContributionDateTime
        assert after.Manufacturer == "Phantom Works"  # who acquired stays who acquired
    assert any("nothing says how the image was derived" in warning for warning in series.warnings)


def test_contributing_equipment_is_added_to_the_parents() -> None:
    datasets = ct_phantom(2, 4, 4)
    item = Dataset()
    item.Manufacturer = "Before"
    for dataset in datasets:
        dataset.ContributingEquipmentSequence = [item]
    (first, _) = written(build(datasets))
    assert [item.Manufacturer for item in first.ContributingEquipmentSequence][0] == "Before"
    assert len(first.ContributingEquipmentSequence) == 2 and len(datasets[0].ContributingEquipmentSequence) == 1


def test_codes_have_no_coding_scheme_version() -> None:
    for name in NAMES:
        for dataset in written(build(parent_for(name), blueprint=name)):
            assert not [e for e in dataset.iterall() if e.keyword == "CodingSchemeVersion"]


def test_dose_is_not_counted_twice() -> None:
    datasets = ct_phantom(2, 4, 4)
    for dataset in datasets:
        dataset.CTDIvol = 11.5
        dataset.Exposure = dataset.ExposureInuAs = 7
        dataset.IrradiationEventUID = "1.2.3"
    for strategy in FillingStrategy:
        for dataset in written(build(datasets, strategy=strategy)):
            for keyword in ("CTDIvol", "Exposure", "ExposureInuAs", "ExposureTime", "XRayTubeCurrent"):
                assert keyword not in dataset
            assert "IrradiationEventUID" not in dataset and dataset.KVP == 120


@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", ["ct", "legacy_enhanced_ct", "secondary_capture"])
def test_dose_of_a_multiframe_parent_is_not_counted_twice(name: str, strategy: FillingStrategy) -> None:
    """Wherever the parent has it: at the top, in the functional group of its own, among what no group has."""
    parent = enhanced(ct_phantom(2, 8, 8))
    parent.CTDIvol = 11.5
    shared = parent.SharedFunctionalGroupsSequence[0]
    shared.CTExposureSequence[0].CTDIvol = 11.5
    shared.UnassignedSharedConvertedAttributesSequence = [Dataset()]
    shared.UnassignedSharedConvertedAttributesSequence[0].CTDIvol = 11.5
    for dataset in written(build([parent], strategy=strategy, blueprint=name)):
        keywords = {element.keyword for element in dataset.iterall()}
        assert keywords.isdisjoint({"CTDIvol", "ExposureTimeInms", "XRayTubeCurrentInmA", "ExposureTime"})


def test_the_pet_headers_times_and_numbers() -> None:
    parent = PARENTS["pet"]
    datasets = written(build(parent))
    assert [dataset.ImageIndex for dataset in datasets] == [1, 2, 3]
    assert {dataset.NumberOfSlices for dataset in datasets} == {3}
    assert {dataset.Units for dataset in datasets} == {"BQML"}
    for before, after in zip(parent.instances, datasets, strict=True):
        assert after.DecayFactor == before.DecayFactor and after.FrameReferenceTime == before.FrameReferenceTime
        assert after.RadiopharmaceuticalInformationSequence == before.RadiopharmaceuticalInformationSequence
        assert after.PatientOrientationCodeSequence == before.PatientOrientationCodeSequence
        assert "PatientPosition" not in after


def test_a_pet_parent_that_says_the_patient_position_keeps_it() -> None:
    datasets = pet_phantom(2, 4, 4)
    for dataset in datasets:
        del dataset.PatientOrientationCodeSequence, dataset.PatientGantryRelationshipCodeSequence
        dataset.PatientPosition = "HFS"
    (first, _) = written(build(datasets))
    assert first.PatientPosition == "HFS" and "PatientOrientationCodeSequence" not in first


@pytest.mark.parametrize("name", ["ct", "mr", "pet"])
def test_a_parent_of_another_modality(name: str) -> None:
    """A blueprint that fits makes a series of its own class, one that does not says what is missing."""
    for other, parent in PARENTS.items():
        if other == name:
            continue
        try:
            datasets = written(build(parent, blueprint=name))
        except HeaderError as error:
            assert name == "pet" and {m.keyword for m in error.missing} >= {"Units", "DecayCorrection"}
            continue
        assert READY[datasets[0].Modality] == name and errors(datasets[0]) is not None


def test_secondary_captures_have_the_bits_of_the_image() -> None:
    parent = PARENTS["ct"]
    for dtype, bits in ((bool, 8), (np.uint8, 8), (np.int16, 16), (np.float32, 16)):
        image = (parent.voxels() > 0).astype(dtype)
        dataset = written(build(parent, image, blueprint="secondary_capture"))[0]
        assert (dataset.BitsAllocated, dataset.Modality) == (bits, "CT" if dataset.Modality == "CT" else "OT")
        assert np.array_equal(stored(dataset), image[0].astype(int))


def test_every_ready_module_blueprint_is_named_and_not_empty() -> None:
    for name in modules.__all__:
        if not name.endswith("_blueprint"):
            continue
        blueprint = getattr(dicom, name)
        assert len(blueprint) > 0 and blueprint.name != "blueprint"
    assert {entry.source for entry in ready("ct").entries()} >= {"patient", "image_plane", "ct_image"}
