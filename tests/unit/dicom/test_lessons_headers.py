"""Defects seen in systems that do this job: blueprints and headers (lessons 1 to 9)."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from building import build, parent_of, positions, ready, written
from derived_series import (
    Blueprint,
    CopyElement,
    FillingStrategy,
    FunctionalElement,
    InstanceCopyElement,
    ParentSeries,
    PositionCopyElement,
    SeriesElement,
    StaticElement,
)
from derived_series.errors import HeaderError
from phantoms import ct_phantom, decoded, encode, mr_phantom, pet_phantom


def _patient(number: int) -> ParentSeries:
    """Patients whose slices are at other positions, and of other numbers."""
    return parent_of(
        ct_phantom(3 + number % 3, 4, 4, spacing=1.0 + number, patient_id=f"P{number}", patient_name=f"N^{number}")
    )


def test_lesson_01_an_element_that_remembers_the_last_build() -> None:
    blueprint = ready("ct") + Blueprint([InstanceCopyElement("ImagePositionPatient")])
    first, second = _patient(1), _patient(2)
    series = build(first, blueprint=blueprint)
    build(second, blueprint=blueprint)  # between the header of the first and its instances
    assert positions(written(series)) == positions(first.instances)
    assert {dataset.PatientID for dataset in series} == {"P1"}


def test_lesson_01_one_blueprint_for_many_patients_in_many_threads() -> None:
    blueprint = ready("ct") + Blueprint([InstanceCopyElement("ImagePositionPatient"), CopyElement("AccessionNumber")])
    parents = [_patient(number) for number in range(6)] * 4

    def derive(parent: ParentSeries) -> bool:
        datasets = written(build(parent, blueprint=blueprint))
        return positions(datasets) == positions(parent.instances) and {d.PatientID for d in datasets} == {
            parent.pivot.PatientID
        }

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(derive, parents))


@pytest.mark.parametrize("strategy", FillingStrategy)
def test_lesson_02_datasets_that_share_elements_with_each_other_and_the_parent(strategy: FillingStrategy) -> None:
    parent = pet_phantom(3, 4, 4)
    source = ParentSeries.from_datasets(parent)
    before = [encode(dataset) for dataset in parent]
    series = build(source, strategy=strategy)
    one, two, _ = datasets = [series.dataset(index) for index in range(3)]
    whole = [encode(dataset) for dataset in datasets]
    one.PatientName = "Changed"
    one["PatientID"].value = "CHANGED"
    one.ImageOrientationPatient[0] = 9
    one.ImagePositionPatient[0] = 9
    one["AcquisitionTime"].value = "000000"
    one.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = "Changed"
    one.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0].CodeMeaning = "Changed"
    one.DerivationCodeSequence.clear()
    one.ContributingEquipmentSequence[0].Manufacturer = "Changed"
    assert [encode(dataset) for dataset in datasets[1:]] == whole[1:]
    assert encode(series.dataset(0)) == series.encode(0) == whole[0]
    assert [encode(dataset) for dataset in parent] == before
    parent[1].RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = "Changed"
    assert two.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical == "Fluorodeoxyglucose"
    assert not {id(element) for element in one} & {id(element) for element in two}


def test_lesson_02_headers_give_copies() -> None:
    from derived_series import NumpyFactory

    header = NumpyFactory().make_series_header(pet_phantom(2, 4, 4), ready("pet"))
    header["RadiopharmaceuticalInformationSequence"].value[0].Radiopharmaceutical = "Changed"
    header["PatientID"].value = "CHANGED"
    assert header["PatientID"].value == "PHANTOM-1"
    assert header["RadiopharmaceuticalInformationSequence"].value[0].Radiopharmaceutical == "Fluorodeoxyglucose"


@pytest.mark.parametrize("numbers", [(5, 1, 4, 2, 3), (5, 4, 3, 2, 1), (1, 1, 1, 1, 1), (None, 2, None, 1, 7)])
def test_lesson_03_instances_matched_by_instance_number_or_order(numbers: tuple[int | None, ...]) -> None:
    datasets = ct_phantom(5, 4, 4)
    for index, (dataset, number) in enumerate(zip(datasets, numbers, strict=True)):
        dataset.InstanceNumber = number
        dataset.ImageComments = f"slice {index}"
    extra = Blueprint([InstanceCopyElement("ImagePositionPatient"), InstanceCopyElement("ImageComments")])
    for order in (datasets, datasets[::-1], [datasets[i] for i in (2, 0, 4, 1, 3)]):
        parent = parent_of(order)
        for index, dataset in enumerate(written(build(parent, None, extra))):
            assert dataset.ImageComments == f"slice {index}"
            assert list(dataset.ImagePositionPatient) == list(datasets[index].ImagePositionPatient)
            assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == datasets[index].SOPInstanceUID
            falls = numbers in ((5, 1, 4, 2, 3), (5, 4, 3, 2, 1))  # on the whole: scrolled as the parent is
            assert dataset.InstanceNumber == (5 - index if falls else index + 1)


@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
def test_lesson_04_copy_that_leaks_what_is_the_pivots_alone(phantom: partial[list[Dataset]]) -> None:
    parent = phantom(4, 4, 4)
    for index, dataset in enumerate(parent):
        dataset.private_block(0x0029, "ACME", create=True).add_new(0x10, "OB", b"per slice!")
        dataset.SliceLocation = index
        dataset.TriggerTime = index * 100
        dataset.IrradiationEventUID = f"1.2.3.{index}"
    for blueprint in (Blueprint(), None):
        datasets = written(build(parent, None, Blueprint(), blueprint=blueprint, strategy=FillingStrategy.COPY))
        pivot = parent[0]
        assert len({dataset.SOPInstanceUID for dataset in datasets}) == 4
        assert len({tuple(dataset.ImagePositionPatient) for dataset in datasets}) == 4
        assert len({dataset.PixelData for dataset in datasets}) == 4
        for before, after in zip(parent, datasets, strict=True):
            assert after.SOPInstanceUID != pivot.SOPInstanceUID
            assert after.SeriesInstanceUID != pivot.SeriesInstanceUID
            assert after.ImagePositionPatient == before.ImagePositionPatient
            assert after.AcquisitionTime == before.AcquisitionTime
            assert after.TriggerTime == before.TriggerTime
            assert "IrradiationEventUID" not in after
            assert not [element for element in after if element.tag.is_private]


def test_lesson_04_copy_on_another_grid_copies_no_value_of_one_slice() -> None:
    from derived_series import NiftiFactory

    parent = ct_phantom(6, 4, 4)
    source = parent_of(parent)
    image = source.to_nifti()
    image.affine[2, 3] += 1.0  # between the slices
    series = build(source, image, blueprint=Blueprint(), factory=NiftiFactory(), strategy=FillingStrategy.COPY)
    for dataset in written(series):
        assert "AcquisitionTime" not in dataset  # the parent's slices differ in it
        assert dataset.AcquisitionDate == "20240312"  # and agree in this


def test_lesson_05_an_image_type_that_ends_as_original() -> None:
    later = Blueprint([CopyElement("ImageType"), CopyElement("SOPClassUID")])
    for blueprint in (ready("ct") + later, later, Blueprint()):
        for strategy in FillingStrategy:
            series = build(ct_phantom(2, 4, 4), blueprint=blueprint, strategy=strategy)
            assert [dataset.ImageType[:2] for dataset in written(series)] == [["DERIVED", "SECONDARY"]] * 2
    warnings = build(ct_phantom(2, 4, 4), None, Blueprint([CopyElement("ImageType")])).warnings
    assert any("ImageType" in warning and "ORIGINAL" in warning for warning in warnings)


def test_lesson_06_only_the_first_missing_tag_reported() -> None:
    blueprint = Blueprint(
        [
            CopyElement("ImageComments"),
            CopyElement("CTDIvol"),
            InstanceCopyElement("TriggerTime"),
            CopyElement(0x00091001, creator="ACME"),
            CopyElement("StudyComments", Optional=True),
            StaticElement("SeriesDescription", "x"),
        ]
    )
    with pytest.raises(HeaderError) as error:
        build(ct_phantom(2, 4, 4), None, blueprint)
    assert {missing.tag for missing in error.value.missing} == {0x00204000, 0x00189345, 0x00181060, 0x00091001}
    for text in ("lacks 4", "ImageComments (0020,4000)", "CTDIvol (0018,9345)", "TriggerTime (0018,1060)"):
        assert text in str(error.value)
    assert "(0009,1001)" in str(error.value) and "Optional=True" in str(error.value)


def test_lesson_07_adding_blueprints_with_private_tags() -> None:
    a = Blueprint([StaticElement(0x00091001, "LO", "a", creator="ACME"), CopyElement("PatientName")])
    b = Blueprint([StaticElement(0x00091001, "LO", "b", creator="OTHER"), StaticElement("StudyComments", "c")])
    for blueprint in (a + b, b + a, a + b + a):
        dataset = written(build(ct_phantom(2, 4, 4), None, blueprint))[0]
        assert dataset.private_block(0x0009, "ACME")[0x01].value == "a"
        assert dataset.private_block(0x0009, "OTHER")[0x01].value == "b"


@pytest.mark.parametrize("kind", [CopyElement, InstanceCopyElement, PositionCopyElement])
def test_lesson_07_private_tags_keep_their_creator(kind: type[CopyElement]) -> None:
    """The creator's block may be another one in the parent, and in every instance."""
    parent = ct_phantom(3, 4, 4)
    for index, dataset in enumerate(parent):
        for other in range(index):
            dataset.private_block(0x0009, f"SOMEONE {other}", create=True).add_new(1, "LO", "not this")
        dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", f"this {index}")
    series = build(parent, None, Blueprint([kind(0x00091001, creator="ACME")]))
    for index, dataset in enumerate(written(series)):
        expected = f"this {0 if kind is CopyElement else index}"
        assert dataset.private_block(0x0009, "ACME")[0x01].value == expected
        assert dataset.private_creators(0x0009) == ["ACME"]


class Scanner:
    def name(self) -> str:
        return "method"

    def of(self, pivot: Dataset) -> str:
        return str(pivot.StationName)

    def __call__(self) -> str:
        return "object"


def test_lesson_08_bound_methods_and_callables_refused_by_counting_arguments() -> None:
    parent = ct_phantom(2, 4, 4)
    for dataset in parent:
        dataset.StationName = "CT1"
    functions = [
        Scanner().name,
        Scanner().of,
        Scanner(),
        partial("{}".format, "partial"),
        lambda: "plain",
    ]
    texts = ["method", "CT1", "object", "partial", "plain"]
    for function, text in zip(functions, texts, strict=True):
        dataset = build(parent, None, Blueprint([SeriesElement("ImageComments", function)])).dataset(0)
        assert dataset.ImageComments == text
    each = [lambda env: str(env.index), partial(lambda text, env: f"{text}{env.index}", "")]
    for function in each:
        series = build(parent, None, Blueprint([FunctionalElement("ImageComments", function)]))
        assert [dataset.ImageComments for dataset in series] == ["0", "1"]


TYPE_2 = {
    "ct": """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
        ReferringPhysicianName StudyID SeriesNumber PatientPosition PositionReferenceIndicator Manufacturer
        InstanceNumber SliceThickness KVP AcquisitionNumber""",
    "mr": """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
        ReferringPhysicianName StudyID SeriesNumber PatientPosition PositionReferenceIndicator Manufacturer
        InstanceNumber SliceThickness ScanOptions MRAcquisitionType EchoTime EchoTrainLength""",
    "pet": """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
        ReferringPhysicianName StudyID SeriesNumber PositionReferenceIndicator Manufacturer InstanceNumber
        SliceThickness AcquisitionDate AcquisitionTime ActualFrameDuration CollimatorType CorrectedImage""",
    "secondary_capture": """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
        ReferringPhysicianName StudyID SeriesNumber Manufacturer InstanceNumber""",
}


@pytest.mark.parametrize("name", TYPE_2)
@pytest.mark.parametrize("strategy", FillingStrategy)
def test_lesson_09_missing_type_2_attributes_absent_instead_of_empty(name: str, strategy: FillingStrategy) -> None:
    parent = {"ct": ct_phantom, "mr": mr_phantom}.get(name, pet_phantom)(2, 4, 4)
    always_set = {"SeriesNumber", "InstanceNumber"}
    for dataset in parent:
        for keyword in TYPE_2[name].split():
            dataset.pop(Tag(keyword), None)
    for dataset in written(build(parent, blueprint=name, strategy=strategy)):
        for keyword in TYPE_2[name].split():
            assert keyword in dataset
            assert dataset[keyword].is_empty is (keyword not in always_set)


def test_lesson_09_a_blueprint_that_names_nothing_has_the_patients_and_studys_type_2() -> None:
    parent = ct_phantom(2, 4, 4)
    for dataset in parent:
        del dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyID, dataset.AccessionNumber
    dataset = decoded(build(parent, blueprint=Blueprint()).encode(0))
    for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        assert dataset[keyword].is_empty
    assert copy.deepcopy(dataset) == dataset
