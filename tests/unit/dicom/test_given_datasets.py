"""What user code does to the datasets that it is given changes nothing of whose image the derived series is."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom import UID as new_uid
from highdicom.sr import (
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    TrackingIdentifier,
)
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from building import LIBRARY, build, parent_of, ready, written
from derived_series import BuildContext, DicomFactory, NumpyFactory, ParentSeries
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.interface import Series
from derived_series.errors import UserCodeError, ValidationFailed
from derived_series.pipelines import Input, Library, Pipeline
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, run_pipeline
from multiframe import enhanced
from phantoms import ct_phantom, encode

OTHERS = {
    "PatientID": "OTHER",
    "PatientName": "Other^Name",
    "PatientBirthDate": "19990101",
    "IssuerOfPatientID": "ELSEWHERE",
    "StudyInstanceUID": "1.2.3",
    "AccessionNumber": "B2",
}


def run(process: Callable[[Any, Any], Any], parent: ParentSeries, **fields: Any) -> Series:
    mine = type("Mine", (Pipeline,), {"input": {"ct": Input}, "process": process, **fields})
    library = Library(LIBRARY.blueprints, {"mine": NamedPipeline("mine", mine, "", Path("mine.py"), "")}, {}, ())
    return run_pipeline(library, "mine", {"ct": parent}, {}, Options(), BuildContext())


def altered(instances: tuple[Dataset, ...]) -> list[Dataset]:
    """The instances, each of them now another patient's, in place."""
    for dataset in instances:
        for keyword, value in OTHERS.items():
            setattr(dataset, keyword, value)
        dataset.ReferencedStudySequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
    return list(instances)


def as_datasets(self: Any, container: Any) -> Any:
    return altered(container.parents["ct"].instances)


def as_copies(self: Any, container: Any) -> Any:
    return copy.deepcopy(altered(container["ct"].instances))


def as_an_array(self: Any, container: Any) -> Any:
    return np.stack([dataset.pixel_array for dataset in altered(container.datasets["ct"])])


def through_the_header(self: Any, container: Any) -> Any:
    altered(container.header.parent.instances)
    return NumpyFactory().build(container.header, container["ct"].voxels())


def as_a_series_of_its_own_parent(self: Any, container: Any) -> Any:
    return build(ParentSeries.from_datasets(altered(container["ct"].instances)))


def as_a_segmentation_of_its_own_parent(self: Any, container: Any) -> Any:
    other = ParentSeries.from_datasets(altered(container["ct"].instances))
    return build(other, np.ones(other.shape, np.uint8), ready("segmentation"))


def as_a_dataset_series(self: Any, container: Any) -> Any:
    datasets = altered(tuple(build(container["ct"])))
    return FinishedSeries(tuple(datasets), ())


def by_a_factory(self: Any, container: Any) -> Any:
    return container["ct"].voxels()


def as_a_generator(self: Any, container: Any) -> Any:
    yield from altered(container.parents["ct"].instances)


def as_one_dataset(self: Any, container: Any) -> Any:
    return altered(container.parents["ct"].instances)[0]


def through_the_inputs(self: Any, container: Any) -> Any:
    return altered(container.header.env.inputs["ct"].instances)


class AlteringFactory(DicomFactory):
    def build_from_header(self, header: Any, image: Any) -> list[Dataset]:
        altered(header.parent.instances)
        return altered(tuple(NumpyFactory().build_from_header(header, image)))


def report(self: Any, container: Any) -> Any:
    """A report of highdicom shares elements with the evidence that it is given."""
    device = DeviceObserverIdentifyingAttributes(uid=new_uid(), name="device")
    observer = ObserverContext(codes.DCM.Device, device)
    group = MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(new_uid(), "Liver"),
        finding_type=codes.SCT.Organ,
        measurements=[Measurement(codes.SCT.Volume, 1500.0, Code("ml", "UCUM", "Milliliter"))],
    )
    document = Comprehensive3DSR(
        evidence=list(container["ct"].instances),
        content=MeasurementReport(ObservationContext(observer), Code("363679005", "SCT", "Imaging procedure"), [group])[
            0
        ],
        series_instance_uid=new_uid(),
        series_number=901,
        sop_instance_uid=new_uid(),
        instance_number=1,
        manufacturer="Maker",
    )
    for keyword, value in OTHERS.items():
        setattr(document, keyword, value)
    return [document]


WAYS: list[tuple[Callable[[Any, Any], Any], dict[str, Any]]] = [
    (as_datasets, {}),
    (as_copies, {}),
    (as_an_array, {"header_blueprint": ready("ct")}),
    (through_the_header, {"header_blueprint": ready("ct")}),
    (as_a_series_of_its_own_parent, {}),
    (as_a_segmentation_of_its_own_parent, {}),
    (as_a_dataset_series, {}),
    (as_a_generator, {}),
    (as_one_dataset, {}),
    (through_the_inputs, {"header_blueprint": ready("ct")}),
    (by_a_factory, {"header_blueprint": ready("ct"), "dicom_factory": AlteringFactory()}),
    (report, {}),
]


def phantom() -> list[Dataset]:
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "1.2.9"
        dataset.ReferencedStudySequence = [item]
    return datasets


@pytest.mark.wide(quick=5)
@pytest.mark.parametrize(("process", "fields"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_patient_and_study_are_those_of_the_parent_as_it_is_stored(
    process: Callable[[Any, Any], Any], fields: dict[str, Any]
) -> None:
    instances = phantom()
    parent = parent_of(instances)
    series = run(process, parent, **fields)
    assert parent.pivot.PatientID == instances[0].PatientID
    for dataset in written(series):
        for keyword in OTHERS:
            assert dataset.get(keyword) == instances[0].get(keyword), keyword
        if "ReferencedStudySequence" in dataset:
            assert dataset.ReferencedStudySequence[0].ReferencedSOPInstanceUID == "1.2.9"
    if process in (as_an_array, through_the_header):  # what was altered is not in the result
        return
    for keyword in ("PatientID", "StudyInstanceUID"):
        assert any(keyword in w and "it is the parent's" in w for w in series.warnings), keyword


def test_a_detached_parent_shares_no_element_with_the_parent() -> None:
    instances = [phantom(), [enhanced(ct_phantom(3, 8, 8))]]
    for files in (list(map(encode, datasets)) for datasets in instances):
        parent = ParentSeries.from_bytes(files)
        before = [copy.deepcopy(dataset) for dataset in parent.instances]
        values = parent.voxels()
        theirs = parent.detached()
        for dataset in theirs.instances:
            dataset.PatientID = "OTHER"
            dataset.ImagePositionPatient[0] = 99
            del dataset.PatientName
        assert np.array_equal(theirs.voxels(), values)
        assert list(parent.instances) == before


def returning(change: Callable[[Dataset], Any]) -> Series:
    """Copies of a CT, each of them changed, as a pipeline returns them."""

    def process(self: Any, container: Any) -> Any:
        copies = copy.deepcopy(list(container.parents["ct"].instances))
        for dataset in copies:
            change(dataset)
        return copies

    return run(process, parent_of(ct_phantom(3, 8, 8)))


@pytest.mark.parametrize("keyword", ["TransferSyntaxUID", "MediaStorageSOPInstanceUID", "AffectedSOPClassUID"])
def test_what_belongs_to_files_and_commands_is_left_out_of_datasets(keyword: str) -> None:
    series = returning(lambda dataset: setattr(dataset, keyword, "1.2.840.10008.1.2"))
    assert any(re.match(rf"{keyword} .* is left out", warning) for warning in series.warnings)
    assert [keyword in dataset for dataset in written(series)] == [False] * 3


@pytest.mark.parametrize(("keyword", "value"), [("PixelPaddingValue", 70000), ("ImagesInAcquisition", -1)])
def test_integers_that_their_vr_cannot_hold_are_refused(keyword: str, value: int) -> None:
    def change(dataset: Dataset) -> None:
        dataset[keyword] = DataElement(Tag(keyword), "US", value, validation_mode=0)

    with pytest.raises(ValidationFailed, match=rf"{keyword} .* US holds whole numbers from 0 to 65535"):
        returning(change)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ValidationFailed, match=r"PixelData \(7FE0,0010\) is missing"):
        returning(lambda dataset: delattr(dataset, "PixelData"))


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "message"),
    [("CTDIvol", "FD", "x", "holds numbers"), ("EncapsulatedDocument", "OB", "text", "holds bytes")],
)
def test_values_that_cannot_be_encoded_are_refused(keyword: str, vr: str, value: str, message: str) -> None:
    with pytest.raises(ValidationFailed, match=rf"{keyword} .* {message}"):
        returning(lambda d: d.__setitem__(keyword, DataElement(Tag(keyword), vr, value, validation_mode=0)))


def test_empty_pixels_are_refused() -> None:
    with pytest.raises(ValidationFailed, match=r"PixelData \(7FE0,0010\) has 0 bytes"):
        returning(lambda dataset: setattr(dataset, "PixelData", None))


def test_pixels_that_were_put_in_decompressed_are_not_of_a_compressed_syntax() -> None:
    """PS3.5 A.4: a reader would look for fragments."""
    series = returning(lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", "1.2.840.10008.1.2.4.90"))
    assert any("cannot be JPEG 2000" in warning for warning in series.warnings)
    for dataset, parent in zip(written(series), ct_phantom(3, 8, 8), strict=True):
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert np.array_equal(dataset.pixel_array, parent.pixel_array)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.1", "1.2.3"])
def test_a_transfer_syntax_that_there_is_not_is_refused(syntax: str) -> None:
    with pytest.raises(UserCodeError, match=rf"TransferSyntaxUID \(0002,0010\) is '{syntax}'"):
        returning(lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", syntax))


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("FrameOfReferenceUID", "1.2.3", "viewers do not show the two in one place"),
        ("PixelSpacing", [1.5, 1.5], r"the parent's, of as many rows and columns, is \[0.8, 0.7\]"),
    ],
)
def test_an_image_that_does_not_lie_on_the_parent_is_told(keyword: str, value: Any, message: str) -> None:
    series = returning(lambda dataset: setattr(dataset, keyword, value))
    assert len([warning for warning in series.warnings if re.match(rf"{keyword} .*{message}", warning)]) == 1
    assert not any(warning.startswith(keyword) for warning in returning(lambda dataset: None).warnings)


def test_a_frame_of_reference_of_another_input_is_not_told() -> None:
    fixed, moving = ct_phantom(3, 8, 8, series="fixed"), ct_phantom(3, 8, 8)
    for dataset in fixed:
        dataset.FrameOfReferenceUID = "1.2.3"

    def process(self: Any, container: Any) -> Any:
        return copy.deepcopy(list(container.parents["fixed"].instances))

    fields = {"input": {"ct": Input, "fixed": Input}, "parent_input": "ct", "process": process}
    mine = type("Mine", (Pipeline,), fields)
    library = Library(LIBRARY.blueprints, {"mine": NamedPipeline("mine", mine, "", Path("mine.py"), "")}, {}, ())
    parents = {"ct": parent_of(moving), "fixed": parent_of(fixed)}
    series = run_pipeline(library, "mine", parents, {}, Options(), BuildContext())
    assert not any("viewers" in warning for warning in series.warnings)
