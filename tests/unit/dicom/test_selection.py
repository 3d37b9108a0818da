"""Parents that hold several things: refused with each of them named, or one of them taken with a warning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import build, parent_of, positions, volume, written
from derived_series import ParentSeries, Selection, derivation
from derived_series.dicom.source.selection import Part, part_of
from derived_series.errors import DerivedSeriesError, GeometryError, InvalidParent
from derived_series.jobs.remedies import WORDS
from multiframe import enhanced
from phantoms import ct_phantom, encode, mr_phantom, uid
from shared_data import needs_series, series_folder

DONE = derivation("nothing", "PixelByPixelMean")


def selected(datasets: list[Dataset], **what: Any) -> ParentSeries:
    return ParentSeries.from_bytes([encode(dataset) for dataset in datasets], Selection(**what))


def several(*stacks: list[Dataset]) -> list[Dataset]:
    """The slices of stacks as one series."""
    datasets = [dataset for stack in stacks for dataset in stack]
    for index, dataset in enumerate(datasets):
        dataset.SeriesInstanceUID = datasets[0].SeriesInstanceUID
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid("several", index)  # type: ignore[assignment]
    return datasets


def with_localizers() -> list[Dataset]:
    """Five axial slices and two coronal localizers of another size."""
    localizers = ct_phantom(2, 6, 6, orientation="coronal")
    for dataset in localizers:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return several(localizers, ct_phantom(5, 8, 8))


def test_several_orientations_are_refused_by_name() -> None:
    with pytest.raises(GeometryError) as caught:
        parent_of(with_localizers())
    assert "2 orientations" in caught.value.message
    assert "2 x [1.0, 0.0, 0.0, 0.0, 0.0, -1.0] (Coronal, localizer)" in caught.value.message
    assert "5 x [1.0, 0.0, 0.0, 0.0, 1.0, 0.0] (Axial)" in caught.value.message
    assert '"Axial" or "Coronal"' in caught.value.remedy  # type: ignore[operator]
    assert '"Orientation": "Axial" or "Coronal"' in caught.value.remedy_in(WORDS)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("wanted", "shape"), [("Axial", (5, 8, 8)), ("Coronal", (2, 6, 6)), ([1, 0, 0, 0, 1.001, 0], (5, 8, 8))]
)
def test_one_orientation_is_taken_with_a_warning(wanted: Any, shape: tuple[int, ...]) -> None:
    parent = selected(with_localizers(), orientation=wanted)
    assert parent.shape == shape
    (warning,) = parent.warnings
    assert warning.startswith(f"{7 - shape[0]} of the parent's 7 instances are left out: the orientation")
    series = build(parent, extra=DONE)
    assert series.warnings == (warning,)
    sources = {dataset.SourceImageSequence[0].ReferencedSOPInstanceUID for dataset in written(series)}
    assert sources == {dataset.SOPInstanceUID for dataset in parent.instances}


def test_two_oblique_stacks_are_chosen_by_numbers() -> None:
    stacks = several(mr_phantom(3, 8, 8, orientation="oblique"), mr_phantom(4, 8, 8, orientation="axial"))
    with pytest.raises(GeometryError) as caught:
        parent_of(stacks)
    assert "the six numbers of one" in caught.value.remedy  # type: ignore[operator]
    with pytest.raises(GeometryError, match="2 of the parent's orientations fits"):
        selected(stacks, orientation="Axial")
    assert len(selected(stacks, orientation=[0.966, 0.259, 0, -0.243, 0.908, 0.342])) == 3


def test_an_orientation_that_is_not_there_is_refused() -> None:
    with pytest.raises(GeometryError, match=r"the orientation 'Sagittal' was chosen, and none.*5 x .*\(Axial\)"):
        selected(with_localizers(), orientation="Sagittal")
    with pytest.raises(GeometryError, match="none of the parent's orientations fits: there are none"):
        datasets = ct_phantom(2, 4, 4)
        for dataset in datasets:
            del dataset.ImageOrientationPatient, dataset.ImagePositionPatient
        selected(datasets, orientation="Axial")


def test_a_choice_that_takes_all_changes_nothing() -> None:
    datasets = ct_phantom(4, 4, 4)
    parent = selected(datasets, orientation="Axial")
    assert len(parent) == 4 and parent.warnings == ()


def _image_type(dataset: Dataset, part: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", part, "ND"]


def _philips(dataset: Dataset, part: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "PHASE MAP" if part == "P" else "M_FFE", part, "FFE"]


def _philips_software(dataset: Dataset, part: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", f"SW_{part}_FFE", f"SW_{part}", "FFE"]


def _philips_late(dataset: Dataset, part: str) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER", "NONE", f"{part}_SE"]


def _in_words(dataset: Dataset, part: str) -> None:
    dataset.ImageType = [
        *("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
        {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}[part],
    ]


def _component(dataset: Dataset, part: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ComplexImageComponent = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}[part]


def _ge(dataset: Dataset, part: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", "MPRI".index(part))


MARKS = [_image_type, _philips, _philips_software, _philips_late, _in_words, _component, _ge]


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("mark", MARKS)
def test_magnitude_and_phase_are_told_apart(mark: Any) -> None:
    stacks = {part: mr_phantom(4, 8, 8, series=f"mr {part}") for part in "MP"}
    for part, stack in stacks.items():
        for dataset in stack:
            mark(dataset, part)
    both = several(*stacks.values())
    with pytest.raises(InvalidParent, match="several parts .*: 4 x Magnitude, 4 x Phase"):
        parent_of(both)
    names: dict[str, Part] = {"M": "Magnitude", "P": "Phase"}
    for part, name in names.items():
        parent = selected(both, part=name)
        assert np.array_equal(parent.stored(), np.stack([dataset.pixel_array for dataset in stacks[part]]))
        assert parent.warnings == (f"4 of the parent's 8 instances are left out: the part {name} was chosen",)
        assert {part_of(dataset) for dataset in parent.instances} == {name}
    with pytest.raises(InvalidParent, match="the part Real was chosen, and no instance .*4 x Magnitude, 4 x Phase"):
        selected(both, part="Real")


@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark is not _philips])
def test_real_and_imaginary_are_told_apart(mark: Any) -> None:
    stacks = {part: mr_phantom(4, 8, 8, series=f"mr {part}") for part in "RI"}
    for part, stack in stacks.items():
        for dataset in stack:
            mark(dataset, part)
            if part == "I":  # the same places, in other digits
                dataset.ImagePositionPatient = [f"{float(value):.4f}" for value in dataset.ImagePositionPatient]
    both = several(*stacks.values())
    with pytest.raises(InvalidParent, match="several parts .*: 4 x Real, 4 x Imaginary"):
        parent_of(both)
    names: dict[str, Part] = {"R": "Real", "I": "Imaginary"}
    for part, name in names.items():
        parent = selected(both, part=name)
        assert np.array_equal(parent.stored(), np.stack([dataset.pixel_array for dataset in stacks[part]]))


@pytest.mark.parametrize("value", ["MPR", "PROJECTION IMAGE", "IR", "RESAMPLED", "INPHASE", "MIP", "SWI", "PCA", "IP"])
def test_other_words_are_not_parts(value: str) -> None:
    (dataset,) = mr_phantom(1, 8, 8)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", value]
    assert part_of(dataset) is None


@pytest.mark.parametrize("value", ["ORIGINAL", "DERIVED", "MAGNITUDE", "REAL"])
def test_an_image_type_of_one_value_has_no_third_that_is_a_part(value: str) -> None:
    """pydicom makes a string of it, of which some letters are names of parts."""
    (dataset,) = mr_phantom(1, 8, 8)
    dataset.ImageType = value
    assert part_of(dataset) is None


def test_parts_of_enhanced_frames_are_told_apart() -> None:
    slices = mr_phantom(3, 8, 8)
    source = enhanced([*slices, *slices])
    del source.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence
    for index, groups in enumerate(source.PerFrameFunctionalGroupsSequence):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        kind.ComplexImageComponent = "MAGNITUDE" if index < 3 else "PHASE"
        groups.MRImageFrameTypeSequence = [kind]
    with pytest.raises(InvalidParent, match="several parts"):
        parent_of([source])
    parent = selected([source], part="Phase")
    items = [dataset.SourceImageSequence[0] for dataset in written(build(parent, extra=DONE))]
    assert [item.ReferencedFrameNumber for item in items] == [4, 5, 6]


@needs_series("mr_mixed_orient_4sl")
@pytest.mark.parametrize("plane", ["Axial", "Sagittal"])
def test_a_real_series_of_two_orientations(plane: Any) -> None:
    parent = ParentSeries.from_folder(series_folder("mr_mixed_orient_4sl"), Selection(plane))
    assert len(parent) == 2
    disagreeing, left_out = parent.warnings  # its file meta information is that of before it was de-identified
    assert "(0002,0002; 0002,0003)" in disagreeing and left_out.startswith("2 of the parent's 4 instances are left out")
    series = build(parent, extra=DONE)
    assert positions(written(series)) == positions(parent.instances)
    assert np.array_equal(volume(series), parent.voxels())


def test_a_selection_is_taken_by_every_constructor(tmp_path: Any) -> None:
    datasets = with_localizers()
    for index, dataset in enumerate(datasets):
        (tmp_path / f"{index}.dcm").write_bytes(encode(dataset))
    choice = Selection("Axial")
    for parent in (
        ParentSeries.from_folder(tmp_path, choice),
        ParentSeries.from_files(sorted(tmp_path.iterdir()), choice),
        ParentSeries.from_datasets(datasets, choice),
        ParentSeries.from_bytes(map(encode, datasets), choice, pixels=False),
    ):
        assert len(parent) == 5
    with pytest.raises(DerivedSeriesError):
        ParentSeries.from_folder(tmp_path)
