"""What the parent has wrong itself, and is only carried over, is a warning that names the parent, never a refusal."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from building import LIBRARY, written
from derived_series import Blueprint, BuildContext, ParentSeries, StaticElement
from derived_series.dicom.series.interface import Series
from derived_series.errors import BlueprintError, ValidationFailed
from derived_series.pipelines.run import Options, extra_blueprint, run_blueprint
from phantoms import ct_phantom, encode, mr_phantom, pet_phantom

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom tells of every wrong value that it reads

PHANTOMS = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}
OTHER_KINDS = ("secondary_capture", "multiframe_secondary_capture", "segmentation", "parametric_map", "rt_dose")
MADE = [(kind, blueprint) for kind in PHANTOMS for blueprint in (kind, f"legacy_enhanced_{kind}")]
MADE += [("ct", blueprint) for blueprint in OTHER_KINDS]
ENHANCED = [(kind, f"legacy_enhanced_{kind}") for kind in PHANTOMS]


def derive(kind: str, blueprint: str, change: Callable[[Dataset], Any], folder: Path) -> tuple[ParentSeries, Series]:
    """A derivation with validation Strict of a phantom that was changed."""
    datasets = PHANTOMS[kind](3, 8, 8)
    for dataset in datasets:
        change(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parent = ParentSeries.from_bytes([encode(dataset) for dataset in datasets])
        image = np.zeros(parent.shape, np.float32 if blueprint in ("parametric_map", "rt_dose") else np.uint8)
        image[1, 2:4, 2:4] = 1
        np.save(folder / "image.npy", image)
        result = folder / "image.npy" if blueprint in OTHER_KINDS else None
        return parent, run_blueprint(LIBRARY, blueprint, "numpy", parent, result, Options(), BuildContext())


def is_warned_of(series: Series, keyword: str) -> bool:
    return any(warning.startswith(keyword) and "the parent has it" in warning for warning in series.warnings)


def raw(keyword: str, value: bytes) -> Callable[[Dataset], None]:
    """A value as it stands in a file, which pydicom would not write."""

    def change(dataset: Dataset) -> None:
        tag = Tag(keyword)
        vr = {"AcquisitionNumber": "IS", "SeriesNumber": "IS"}.get(keyword, "DS")
        padded = value + b" " * (len(value) % 2)
        dataset[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, True)

    return change


def with_a_zero(*keywords: str) -> Callable[[Dataset], None]:
    """UIDs whose last component begins with a zero."""

    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            head, last = str(dataset[keyword].value).rsplit(".", 1)
            uid = f"{head}.0{last[1:]}".encode()
            uid += b"\0" * (len(uid) % 2)
            dataset[keyword] = RawDataElement(Tag(keyword), "UI", len(uid), uid, 0, False, True)

    return change


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_identity_removed_without_a_method(kind: str, blueprint: str, tmp_path: Path) -> None:
    _, series = derive(kind, blueprint, lambda d: setattr(d, "PatientIdentityRemoved", "YES"), tmp_path)
    assert is_warned_of(series, "DeidentificationMethod")
    assert written(series)[0].PatientIdentityRemoved == "YES"


def test_what_the_request_itself_has_wrong_is_refused() -> None:
    parent = ParentSeries.from_datasets(ct_phantom(3, 8, 8))
    options = Options(extra=extra_blueprint({"WindowWidth": None}))
    with pytest.raises(ValidationFailed, match="WindowWidth"):
        run_blueprint(LIBRARY, "ct", "numpy", parent, None, options, BuildContext())


UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_uids_with_leading_zeros(kind: str, blueprint: str, tmp_path: Path) -> None:
    parent, series = derive(kind, blueprint, with_a_zero(*UIDS), tmp_path)
    assert is_warned_of(series, "StudyInstanceUID") and is_warned_of(series, "ReferencedSOPInstanceUID")
    known = {str(dataset.SOPInstanceUID) for dataset in parent.instances}
    for dataset in written(series):
        assert dataset.StudyInstanceUID == parent.study_instance_uid
        (references,) = dataset.ReferencedSeriesSequence
        assert references.SeriesInstanceUID == parent.series_instance_uid
        assert {str(item.ReferencedSOPInstanceUID) for item in references.ReferencedInstanceSequence} <= known
        if "FrameOfReferenceUID" in dataset:
            assert dataset.FrameOfReferenceUID == parent.pivot.FrameOfReferenceUID
        for uid in (dataset.SOPInstanceUID, dataset.SeriesInstanceUID):
            assert not re.search(r"\.0\d", uid)


def test_a_uid_with_a_leading_zero_that_is_not_the_parents_is_refused() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item["ReferencedSOPInstanceUID"] = RawDataElement(Tag(0x00081155), "UI", 8, b"1.2.03.4", 0, False, True)
    parent = ParentSeries.from_datasets(ct_phantom(3, 8, 8))
    with pytest.raises((ValidationFailed, BlueprintError), match=r"1\.2\.03\.4"):
        extra = Blueprint([StaticElement("ReferencedImageSequence", "SQ", [item])])
        run_blueprint(LIBRARY, "ct", "numpy", parent, None, Options(extra=extra), BuildContext())


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
@pytest.mark.parametrize("keyword", ["PatientWeight", "PixelSpacing", "SliceThickness"])
def test_decimal_strings_of_17_characters(kind: str, blueprint: str, keyword: str, tmp_path: Path) -> None:
    value = b"1.500000000000000\\1.500000000000000" if keyword == "PixelSpacing" else b"72.00000000000001"
    _, series = derive(kind, blueprint, raw(keyword, value), tmp_path)
    datasets = [dataset for dataset in written(series) if keyword in dataset]
    assert is_warned_of(series, keyword) or all(
        len(v) <= 16 for d in datasets for v in str(d[keyword].value).split("\\")
    )


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_positions_of_17_characters(kind: str, blueprint: str, tmp_path: Path) -> None:
    """Of sagittal slices as well, each of which has another one in its first value."""

    def change(dataset: Dataset) -> None:
        text = "\\".join(f"{float(value):.15f}" for value in dataset.ImagePositionPatient)
        raw("ImagePositionPatient", text.encode())(dataset)

    parent, series = derive(kind, blueprint, change, tmp_path)
    assert parent.grid is not None and len(series) in (1, len(parent))


@pytest.mark.parametrize(("kind", "blueprint"), ENHANCED)
@pytest.mark.parametrize("laterality", ["", None])
def test_laterality_that_nothing_tells(kind: str, blueprint: str, laterality: str | None, tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.BodyPartExamined = "KNEE"
        if laterality is not None:
            dataset.ImageLaterality = laterality

    _, series = derive(kind, blueprint, change, tmp_path)
    assert is_warned_of(series, "FrameLaterality")


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize(("kind", "blueprint"), ENHANCED)
@pytest.mark.parametrize("number", [b"70000", b"-1", b"1.5"])
def test_acquisition_numbers_that_a_frame_cannot_hold(kind: str, blueprint: str, number: bytes, tmp_path: Path) -> None:
    _, series = derive(kind, blueprint, raw("AcquisitionNumber", number), tmp_path)
    (dataset,) = written(series)
    groups = (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence)
    contents = [content for group in groups for content in group.get("FrameContentSequence") or ()]
    assert contents and not any("FrameAcquisitionNumber" in content for content in contents)
    assert any("FrameAcquisitionNumber" in w and f"parent's {number.decode()}" in w for w in series.warnings)


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
@pytest.mark.parametrize("number", [b"2147483647", b"-2147483648", b"2147483000", b"1.5", b"3000000000"])
def test_series_numbers_at_the_ends_of_their_range(kind: str, blueprint: str, number: bytes, tmp_path: Path) -> None:
    _parent, series = derive(kind, blueprint, raw("SeriesNumber", number), tmp_path)
    written_number = int(written(series)[0].SeriesNumber)
    assert 0 < written_number < 2**31 and str(written_number) != number.decode()


def test_numbers_of_the_study_are_passed_over_at_the_end_of_the_range() -> None:
    taken: Iterable[int] = {1, 2, 2**31 - 1}
    assert BuildContext(taken_series_numbers=frozenset(taken)).series_number(2**31 - 1001) == 3
