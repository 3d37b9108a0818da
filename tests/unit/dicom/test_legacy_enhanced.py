"""Legacy converted enhanced images of many slices: as highdicom converts them, though it sees only a few."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pytest
from highdicom import legacy
from highdicom.legacy import sop
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from building import build, parent_of, written
from derived_series import (
    Blueprint,
    BuildContext,
    FillingStrategy,
    InstanceCopyElement,
    ParentSeries,
    PositionCopyElement,
)
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.objects import frame_templates
from phantoms import ct_phantom, mr_phantom, pet_phantom

CONTEXT = BuildContext(now=datetime(2024, 5, 6, 7, 8, 9), uid_seed="enhanced")
SLICES = 30
CT, MR, PET = (partial(phantom, SLICES, 6, 4) for phantom in (ct_phantom, mr_phantom, pet_phantom))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many slices highdicom is given, each time."""
    counts: list[int] = []
    convert = sop._CommonLegacyConvertedEnhancedImage.__init__

    def counted(self: Any, legacy_datasets: Any, *arguments: Any, **named: Any) -> None:
        counts.append(len(legacy_datasets))
        convert(self, legacy_datasets, *arguments, **named)

    monkeypatch.setattr(sop._CommonLegacyConvertedEnhancedImage, "__init__", counted)
    return counts


def each(name: str, value: Callable[[int], Any]) -> Callable[[int, Dataset], None]:
    """Sets an element of every slice that the function has a value for."""

    def change(index: int, dataset: Dataset) -> None:
        new_value = value(index)
        if new_value is None and name in dataset:
            del dataset[name]
        elif new_value is not None:
            setattr(dataset, name, new_value)

    return change


def private(index: int, dataset: Dataset) -> None:
    dataset.private_block(0x0019, "ACME", create=True).add_new(0x01, "LO", f"coil {index % 3}")


def parent(phantom: Callable[[], list[Dataset]], *changes: Callable[[int, Dataset], None]) -> ParentSeries:
    changed = phantom()
    for index, dataset in enumerate(changed):
        for change in changes:
            change(index, dataset)
    return parent_of(changed)


def converted(of: ParentSeries, kind: str, extra: Blueprint, strategy: FillingStrategy, image: Any = None) -> Any:
    values = of.voxels() if image is None else image
    blueprint = f"legacy_enhanced_{kind}"
    return build(of, values, extra, blueprint=blueprint, strategy=strategy, context=CONTEXT)


COPIED = ("AcquisitionNumber", "AcquisitionTime", "AcquisitionDate", "ImageComments", "SliceLocation", "TriggerTime")
TIMES = each("AcquisitionTime", lambda k: f"1011{(47 * k) % 60:02}.5")
#: What the slices of a parent differ in, and whether a few of them show how all are converted.
CASES: dict[str, tuple[Callable[[], list[Dataset]], str, tuple[Callable[[int, Dataset], None], ...], bool]] = {
    "plain CT": (CT, "ct", (), True),
    "plain MR": (MR, "mr", (), True),
    "plain PET": (PET, "pet", (), True),
    "times out of order": (CT, "ct", (each("AcquisitionDate", lambda k: "20240102"), TIMES), True),
    "a whole date and time": (CT, "ct", (each("AcquisitionDateTime", lambda k: f"2024010210{k:02}11.25+0100"),), True),
    "acquisitions": (MR, "mr", (each("AcquisitionNumber", lambda k: 1 + k // 10),), True),
    "an acquisition beyond 16 bits": (MR, "mr", (each("AcquisitionNumber", lambda k: 70000 * (k == 17)),), False),
    "comments of some": (CT, "ct", (each("ImageComments", lambda k: "Zähler" if k > 12 else None),), True),
    "comments that are empty": (CT, "ct", (each("ImageComments", lambda k: "" if k % 2 else f"{k}"),), True),
    "numbers in other words": (CT, "ct", (each("SliceLocation", lambda k: ["1", "1.0", "2"][k % 3]),), True),
    "numbers in other words, all the same": (CT, "ct", (each("SliceLocation", lambda k: ["1", "1.0"][k % 2]),), True),
    "private": (CT, "ct", (private,), True),
    "body parts": (CT, "ct", (each("BodyPartExamined", lambda k: "CHEST" if k < 9 else "ABDOMEN"),), False),
    "triggered": (
        MR,
        "mr",
        (
            each("AcquisitionDate", lambda k: "20240102"),
            each("AcquisitionTime", lambda k: "101112"),
            each("TriggerTime", lambda k: f"{k * 20}"),
        ),
        False,
    ),
}


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize(
    ("case", "strategy"),
    [
        *((case, FillingStrategy.DISCARD) for case in CASES),
        ("private", FillingStrategy.COPY),
        ("plain PET", FillingStrategy.COPY),
    ],
)
def test_a_few_slices_show_how_all_are_converted(
    case: str, strategy: FillingStrategy, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are those that highdicom's conversion of every slice gives."""
    datasets, kind, changes, shown = CASES[case]
    of = parent(datasets, *changes)
    names = [name for name in (*COPIED, "BodyPartExamined") if any(name in dataset for dataset in of.instances)]
    extra = Blueprint([InstanceCopyElement(name, Optional=True) for name in names])
    few = converted(of, kind, extra, strategy)
    assert (max(seen) < SLICES / 2) == shown, seen
    monkeypatch.setattr(frame_templates, "_FEWEST_SLICES", SLICES + 1)
    seen.clear()
    every = converted(of, kind, extra, strategy)
    assert seen == [SLICES]
    assert few.encode(0) == every.encode(0) and few.warnings == every.warnings


def test_what_python_warns_of_meanwhile_is_not_told_of_the_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a connection of another part that is collected while highdicom converts."""
    convert = legacy.LegacyConvertedEnhancedCTImage

    def warning(**options: Any) -> Dataset:
        warnings.warn("unclosed database", ResourceWarning, stacklevel=1)
        warnings.warn("odd", UserWarning, stacklevel=1)
        return convert(**options)

    monkeypatch.setattr(legacy, "LegacyConvertedEnhancedCTImage", warning)
    series = converted(parent(CT), "ct", Blueprint(), FillingStrategy.DISCARD)
    assert [text for text in series.warnings if "enhanced image" in text] == ["in the enhanced image: odd"]


def test_each_frame_has_its_pixels_and_its_place(seen: list[int]) -> None:
    of = parent(CT)
    image = of.voxels() * 0.37 + np.arange(SLICES)[:, None, None]
    (dataset,) = written(converted(of, "ct", Blueprint(), FillingStrategy.DISCARD, image))
    assert max(seen) < SLICES / 2
    stored = np.frombuffer(dataset.PixelData, f"<{'i' if dataset.PixelRepresentation else 'u'}2").reshape(image.shape)
    (transformed,) = dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    values = stored * float(transformed.RescaleSlope) + float(transformed.RescaleIntercept)
    frames = dataset.PerFrameFunctionalGroupsSequence
    places = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    assert of.grid is not None
    apart = np.linalg.norm(np.array(of.grid.positions) - np.array(places, float)[:, None], axis=2)
    assert np.abs(values - image[apart.argmin(axis=1)]).max() <= float(transformed.RescaleSlope)
    indexes = [frame.FrameContentSequence[0].DimensionIndexValues for frame in frames]
    assert indexes == list(range(1, SLICES + 1))
    assert dataset.NumberOfFrames == SLICES and (dataset.Rows, dataset.Columns) == (6, 4)


def test_what_a_template_cannot_give_is_highdicoms(seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that makes more of an element than a copy."""
    monkeypatch.setattr(frame_templates, "_INDEX", 0)
    converted(parent(CT), "ct", Blueprint(), FillingStrategy.DISCARD)
    assert seen[-1] == SLICES and len(seen) == 2


def region(name: str) -> Dataset:
    """An item of AnatomicRegionSequence."""
    return code_item({"Breast": Code("76752008", "SCT", "Breast"), "Head": Code("69536005", "SCT", "Head")}[name])


SIDES = each("ImageLaterality", lambda k: "R" if k < 2 else "L")
REGIONS = each("AnatomicRegionSequence", lambda k: [region("Breast" if k < 3 else "Head")])
#: What the slices differ in, and the side and region of each.
ANATOMY: dict[str, tuple[tuple[Callable[[int, Dataset], None], ...], Callable[[int], tuple[str, str]]]] = {
    "sides": (
        (SIDES, each("BodyPartExamined", lambda k: "BREAST")),
        lambda k: ("R" if k < 2 else "L", "Breast"),
    ),
    "sides and regions": ((SIDES, REGIONS), lambda k: ("R" if k < 2 else "L", "Breast" if k < 3 else "Head")),
    "regions": (
        (each("ImageLaterality", lambda k: "U"), REGIONS),
        lambda k: ("U", "Breast" if k < 3 else "Head"),
    ),
}


@pytest.mark.parametrize("slices", [5, SLICES])
@pytest.mark.parametrize(("phantom", "kind"), [(ct_phantom, "ct"), (mr_phantom, "mr"), (pet_phantom, "pet")])
@pytest.mark.parametrize("case", ANATOMY)
def test_each_frame_has_the_anatomy_of_its_own_slice(case: str, phantom: Any, kind: str, slices: int) -> None:
    """Such as a sagittal series of both breasts, of which highdicom gives all frames the side of the first slice."""
    changes, anatomy = ANATOMY[case]
    of = parent(partial(phantom, slices, 6, 4), *changes)
    names = ("ImageLaterality", "AnatomicRegionSequence", "BodyPartExamined")
    extra = Blueprint([PositionCopyElement(name) for name in names])
    (dataset,) = written(converted(of, kind, extra, FillingStrategy.DISCARD))
    shared: Dataset = dataset.SharedFunctionalGroupsSequence[0]
    numbers = {str(instance.SOPInstanceUID): int(instance.InstanceNumber) - 1 for instance in of.instances}
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        (item,) = (shared if "FrameAnatomySequence" in shared else frame).FrameAnatomySequence
        (source,) = frame.ConversionSourceAttributesSequence
        number = numbers[str(source.ReferencedSOPInstanceUID)]
        assert (item.FrameLaterality, item.AnatomicRegionSequence[0].CodeMeaning) == anatomy(number)
