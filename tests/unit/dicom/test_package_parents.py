"""Real parents that come in packages: what each becomes, with values, positions and conformance read back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from building import READY, build, positions, real, written
from dciodvfy import new_errors
from derived_series import FillingStrategy, NiftiFactory, ParentSeries, derivation
from derived_series.errors import DerivedSeriesError, GeometryError, InvalidParent
from package_files import package_names, package_series

#: shape, whether the gaps are even
VOLUMES: dict[str, tuple[tuple[int, int, int], bool]] = {
    "ct ge 5 slices": ((5, 16, 16), True),
    "ct ge uneven": ((4, 16, 16), False),
    "ct ge": ((1, 128, 128), True),
    "ct jpeg 2000": ((1, 512, 512), True),
    "ct signed jpeg 2000": ((1, 512, 512), True),
    "mr": ((1, 64, 64), True),
    "mr rle": ((1, 64, 64), True),
    "mr jpeg-ls": ((1, 64, 64), True),
    "mr jpeg 2000": ((1, 64, 64), True),
    "mr big endian": ((1, 64, 64), True),
    "mr implicit": ((1, 64, 64), True),
    "mr overlay": ((1, 300, 484), True),
    "dose 15 frames": ((15, 10, 10), True),
    "dose 15 frames rle": ((15, 10, 10), True),
}
#: shape; they have no place in space
PICTURES = {"radiograph": (1, 16, 16), "ultrasound palette": (1, 350, 800), "ultrasound 30 frames": (30, 240, 320)}
REFUSED: dict[str, tuple[type[DerivedSeriesError], str]] = {
    "ct localizers": (GeometryError, "2 orientations.*localizer"),
    "mr seven orientations": (GeometryError, "7 orientations"),
    "report": (InvalidParent, "is not an image"),
}
#: Its pixels end before they are complete.
CUT_SHORT = "mr cut short"
#: A mosaic of 32 tiles whose pixels were taken out.
MOSAIC = "mr siemens mosaic"
#: Those on which dciodvfy itself fails, or whose class has a rule that no derived class has.
NOT_COMPARED = ("dose 15 frames", "dose 15 frames rle")

#: The dose's UIDs have components with leading zeros.
pytestmark = pytest.mark.filterwarnings("ignore:.*Invalid value for VR UI:UserWarning")


def load(name: str) -> ParentSeries:
    return ParentSeries.from_files(package_series(name))


def values_in(dataset: Dataset) -> npt.NDArray[np.float64]:
    """The values as pydicom decodes them, with the rescale by hand."""
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    scaling = float(dataset.get("DoseGridScaling", 1))
    return np.asarray((dataset.pixel_array.astype(np.float64) * slope + intercept) * scaling)


def test_every_file_has_its_expectation() -> None:
    assert set(package_names()) == {*VOLUMES, *PICTURES, *REFUSED, CUT_SHORT, MOSAIC}


@pytest.mark.parametrize("name", VOLUMES)
def test_the_values_are_those_of_the_file(name: str) -> None:
    parent = load(name)
    files = {str(dataset.SOPInstanceUID): dataset for dataset in map(dcmread, package_series(name))}
    if len(files) == len(parent):
        wanted = np.stack([values_in(files[str(each.SOPInstanceUID)]) for each in parent.instances])
    else:  # frames: in the order of the file or against it
        (file,) = files.values()
        wanted = values_in(file)
        wanted = wanted if file.GridFrameOffsetVector[0] <= file.GridFrameOffsetVector[-1] else wanted[::-1]
    assert np.allclose(parent.voxels(), wanted, rtol=1e-6)


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", VOLUMES)
def test_values_positions_and_conformance(name: str, strategy: FillingStrategy) -> None:
    parent = load(name)
    shape, even = VOLUMES[name]
    assert parent.shape == shape and parent.require_grid().is_regular is even
    image = parent.voxels()
    blueprint = READY.get(parent.modality, "secondary_capture")
    series = build(parent, image, derivation("nothing", "PixelByPixelMean"), blueprint=blueprint, strategy=strategy)
    datasets = written(series)
    step = float(str(datasets[0].get("RescaleSlope", "1")))
    seen = np.stack([real(dataset) for dataset in datasets])
    assert np.abs(seen - image).max() <= (step / 2 * (1 + 1e-6) if step != 1 else 0)
    for before, after in zip(parent.instances, datasets, strict=True):
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
            if keyword in before and not before[keyword].is_empty:
                assert after[keyword].value == before[keyword].value
        assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert after.SOPInstanceUID != before.SOPInstanceUID and after.ImageType[0] == "DERIVED"
    if parent.modality in READY:
        assert positions(datasets) == positions(parent.instances)
        frame = parent.pivot.get("FrameOfReferenceUID")
        assert {dataset.FrameOfReferenceUID for dataset in datasets} == {frame} or frame is None
    if name not in NOT_COMPARED:
        files = [path.read_bytes() for path in package_series(name)]
        assert new_errors(series.encode(0), files) == []


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("name", [name for name, (_, even) in VOLUMES.items() if even])
def test_a_nifti_file_of_it_comes_back_slice_by_slice(name: str) -> None:
    parent = load(name)
    turned = parent.to_nifti().as_reoriented([[1, -1], [2, 1], [0, -1]])
    blueprint = READY.get(parent.modality, "secondary_capture")
    series = build(parent, turned, blueprint=blueprint, factory=NiftiFactory())
    step = float(str(written(series)[0].get("RescaleSlope", "1")))
    seen = np.stack([real(dataset) for dataset in written(series)])
    assert np.abs(seen - parent.voxels()).max() <= (step / 2 * (1 + 1e-6) if step != 1 else 0)


@pytest.mark.parametrize("name", PICTURES)
def test_a_mask_of_a_picture_is_a_secondary_capture(name: str) -> None:
    parent = load(name)
    assert parent.shape == PICTURES[name] and parent.grid is None
    mask = np.zeros(parent.shape, bool)
    mask[:, 2:9, 3:7] = True
    series = build(parent, mask, blueprint="secondary_capture")
    assert np.array_equal(np.stack([real(dataset) for dataset in written(series)]), mask)
    assert new_errors(series.encode(0), [path.read_bytes() for path in package_series(name)]) == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_a_volume_is_refused(name: str) -> None:
    kind, text = REFUSED[name]
    with pytest.raises(kind, match=text):
        load(name)


def test_pixels_that_end_too_early_are_refused_where_they_are_read() -> None:
    parent = load(CUT_SHORT)
    with pytest.raises(InvalidParent):
        parent.voxels()


@pytest.mark.parametrize("name", ["mr rle", "mr jpeg-ls", "mr jpeg 2000", "mr big endian", "mr implicit"])
def test_one_image_in_other_encodings_has_the_same_values(name: str) -> None:
    assert np.array_equal(load(name).voxels(), load("mr").voxels())


def test_a_mosaic_has_the_slices_that_its_private_header_says() -> None:
    """Its tiles are slices of one step each, and an image is placed on them."""
    parent = load(MOSAIC)
    grid = parent.require_grid()
    assert parent.shape == (32, 64, 64) and grid.is_regular
    (file,) = map(dcmread, package_series(MOSAIC))
    assert grid.slice_spacing == pytest.approx(float(file.SpacingBetweenSlices), abs=1e-3)
    image = np.arange(32, dtype=np.int16)[:, None, None] * np.ones((1, 64, 64), np.int16)
    series = build(parent, image)
    datasets = written(series)
    assert np.array_equal(np.stack([real(dataset) for dataset in datasets]), image)
    assert np.allclose(positions(datasets), grid.positions, atol=1e-3)
    with pytest.raises(InvalidParent, match="no pixel data"):
        parent.voxels()
