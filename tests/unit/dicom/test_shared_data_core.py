"""Real series: what each becomes, with values and positions read back. Skipped where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from building import READY, positions, real, volume, written
from building import build as built
from dciodvfy import errors, new_errors
from derived_series import Blueprint, FillingStrategy, NiftiFactory, ParentSeries, derivation
from derived_series.errors import DerivedSeriesError, GeometryError, InvalidParent
from phantoms import decoded
from shared_data import NO_DATA, series_files, series_folder, series_names

#: shape, whether the gaps are even, degrees between the stack and its normal
VOLUMES: dict[str, tuple[tuple[int, ...], bool, float]] = {
    "ct_axial_head_philips": ((28, 512, 512), True, 0.0),
    "ct_ge_signed_pad_3sl": ((3, 512, 512), True, 0.0),
    "ct_tilt_siemens_4sl_utf8": ((4, 512, 512), True, 14.0),
    "ct_uneven_siemens_tilt_missing": ((4, 512, 512), False, 15.5),
    "mr_ax_obl_ge_uneven_s16": ((20, 256, 256), False, 0.0),
    "mr_enh_siemens_8fr": ((8, 256, 256), True, 0.0),
    "mr_biolab_ax_obl_ps_unequal": ((24, 384, 274), True, 0.0),
    "mr_fmri_ge_4d": ((10, 15, 64, 64), True, 0.0),
    "mr_hitachi_obl39_iso2022": ((4, 64, 64), True, 0.0),
    "mr_mosaic_siemens_2vol": ((2, 35, 64, 64), True, 0.0),
    "mr_perslice_rescale_nonsquare": ((4, 28, 64), True, 0.0),
    "mr_sag_mprage_siemens": ((48, 256, 256), True, 0.0),
    "mr_sag_siemens_j2k_4sl": ((4, 256, 256), True, 0.0),
    "mr_sag_siemens_jpegls_4sl": ((4, 256, 256), True, 0.0),
    "mr_sag_siemens_rle_4sl": ((4, 256, 256), True, 0.0),
}
REFUSED: dict[str, tuple[type[DerivedSeriesError], str]] = {
    "mr_mixed_orient_4sl": (GeometryError, "2 orientations.*2 x .*2 x "),
}
COLOUR = "sc_rgb_j2k_4sl"

pytestmark = pytest.mark.skipif(not series_names(), reason=NO_DATA)


def load(name: str) -> ParentSeries:
    return ParentSeries.from_folder(series_folder(name))


def bytes_of(name: str) -> dict[str, bytes]:
    """The files of a series by SOPInstanceUID."""
    contents = [path.read_bytes() for path in series_files(name)]
    return {str(decoded(content).SOPInstanceUID): content for content in contents}


@pytest.mark.parametrize("name", VOLUMES)
def test_what_it_is(name: str) -> None:
    parent = load(name)
    shape, even, degrees = VOLUMES[name]
    grid = parent.require_grid()
    assert parent.shape == shape and grid.is_regular is even
    assert abs(grid.shear_degrees - degrees) < 0.05
    if even:
        assert np.allclose(parent.affine_ras, np.diag([-1, -1, 1, 1]) @ parent.affine_lps)
    else:
        with pytest.raises(GeometryError, match="evenly spaced"):
            parent.to_nifti()


@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", VOLUMES)
def test_values_positions_and_conformance(name: str, strategy: FillingStrategy) -> None:
    parent = load(name)
    image = parent.voxels()
    series = built(parent, image, derivation("nothing", "PixelByPixelMean"), strategy=strategy)
    datasets = written(series)
    assert positions(datasets) == positions(parent.instances)
    step = float(str(datasets[0].get("RescaleSlope", "1")))
    values = np.stack([real(dataset) for dataset in datasets]).reshape(image.shape)
    assert np.abs(values - image).max() <= (step / 2 * (1 + 1e-6) if step != 1 else 0)
    files = bytes_of(name)
    for before, after in zip(parent.instances, datasets, strict=True):
        assert after.PixelSpacing == before.PixelSpacing
        assert after.ImageOrientationPatient == before.ImageOrientationPatient
        assert after.get("SliceThickness") == before.get("SliceThickness")
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
            if keyword in before and not before[keyword].is_empty:
                assert after[keyword].value == before[keyword].value
        assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    for index in {0, len(series) - 1}:
        uid = str(parent.instances[index].SOPInstanceUID)
        found_new = new_errors(series.encode(index), [files[uid]])
        # a UID that is wrong in the parent is wrong where the parent is referred to
        wrong = any("Illegal root for UID" in line and uid in line for line in errors(files[uid]))
        assert [line for line in found_new if not (wrong and uid in line)] == []


@pytest.mark.parametrize("name", [name for name, (_, even, _) in VOLUMES.items() if even])
def test_nifti_of_it_finds_every_slice(name: str) -> None:
    parent = load(name)
    series = built(parent, parent.to_nifti().as_reoriented([[1, -1], [2, 1], [0, -1]]), factory=NiftiFactory())
    datasets = written(series)
    assert positions(datasets) == positions(parent.instances)
    step = float(str(datasets[0].get("RescaleSlope", "1")))
    values = volume(series).reshape(parent.shape)
    assert np.abs(values - parent.voxels()).max() <= (step / 2 * (1 + 1e-6) if step != 1 else 0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_a_volume_is_refused(name: str) -> None:
    kind, text = REFUSED[name]
    with pytest.raises(kind, match=text):
        load(name)


def test_one_time_point_of_a_4d_series_is_a_volume() -> None:
    datasets = [decoded(content) for content in bytes_of("mr_fmri_ge_4d").values()]
    first: dict[tuple[float, ...], Any] = {}
    for dataset in sorted(datasets, key=lambda d: int(d.InstanceNumber)):
        first.setdefault(tuple(dataset.ImagePositionPatient), dataset)
    parent = ParentSeries.from_datasets(first.values())
    assert len(parent) == 15 and parent.volumes == 1
    assert np.array_equal(volume(built(parent)), parent.voxels())


def test_colour_can_be_the_parent_of_a_secondary_capture() -> None:
    parent = load(COLOUR)
    assert parent.stored().ndim == 4
    with pytest.raises(InvalidParent, match="is in colour"):
        parent.voxels()
    mask = np.zeros(parent.shape, bool)
    mask[:, 10:20, 10:20] = True
    for strategy in FillingStrategy:
        datasets = written(built(parent, mask, blueprint="secondary_capture", strategy=strategy))
        assert all(np.array_equal(real(dataset), mask[index]) for index, dataset in enumerate(datasets))
        files = bytes_of(COLOUR)
        assert new_errors(built(parent, mask, blueprint="secondary_capture").encode(0), files.values()) == []


def test_the_parents_values_are_those_of_the_tags() -> None:
    """Signed and padded, and a rescale for each slice: by hand from the attributes."""
    padded = load("ct_ge_signed_pad_3sl")
    for plane, dataset in zip(padded.voxels(), padded.instances, strict=True):
        assert np.array_equal(plane, dataset.pixel_array.astype(int) + int(dataset.RescaleIntercept))
    assert padded.stored().min() == -2000
    rescaled = load("mr_perslice_rescale_nonsquare")
    slopes = {float(dataset.RescaleSlope) for dataset in rescaled.instances}
    assert len(slopes) > 1
    for plane, dataset in zip(rescaled.voxels(), rescaled.instances, strict=True):
        wanted = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.allclose(plane, wanted, rtol=1e-6)


def test_compressed_series_have_the_values_of_each_other() -> None:
    """Three encodings of one series."""
    packed = [load(f"mr_sag_siemens_{syntax}_4sl") for syntax in ("j2k", "jpegls", "rle")]
    for parent in packed:
        assert parent.pivot.file_meta.TransferSyntaxUID.is_compressed
        assert np.array_equal(parent.voxels(), packed[0].voxels())


@pytest.mark.parametrize("name", ["mr_hitachi_obl39_iso2022", "ct_tilt_siemens_4sl_utf8"])
def test_text_of_real_series_comes_back(name: str) -> None:
    parent = load(name)
    for dataset, before in zip(written(built(parent, strategy=FillingStrategy.COPY)), parent.instances, strict=True):
        for keyword in (
            "PatientName",
            "InstitutionName",
            "StudyDescription",
            "ProtocolName",
            "PerformingPhysicianName",
        ):
            assert dataset.get(keyword) == before.get(keyword)


def test_every_other_folder_is_a_volume_or_is_refused_with_a_reason() -> None:
    for name in set(series_names()) - {*VOLUMES, *REFUSED, COLOUR}:
        try:
            parent = load(name)
            series = built(parent, None, Blueprint(), blueprint=READY.get(parent.modality, "secondary_capture"))
            assert len(written(series)) == len(parent)
        except DerivedSeriesError as error:
            assert error.message
