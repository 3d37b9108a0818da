"""The parent series: sorted by position, validated, its values in any transfer syntax."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from building import build, parent_of, volume, written
from derived_series import ParentSeries
from derived_series.errors import Conflict, DerivedSeriesError, GeometryError, InvalidParent
from phantoms import compressed, ct_phantom, encode, mr_phantom, pet_phantom

#: A 16 x 16 image of the values 7 x^2 + 13 y as HTJ2K, by OpenJPH.
HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAK4AAf+TwAAmlf0FB3QAAMAAE0AAEoAG/QKHdADsAQd0AMAAFTAABMDffMMT"
    "TwFCtAB0+gAjVADAABa0AAFS977vjRs+fd77vjdu+PT5DOLiCLG3ADjG+MAAAey2AMAALtYAAVjtbtu2bUMDJWW727Zt29BASdnutm3bNjRQUra7"
    "bdu2DQ2UlAZ2v1l87X6y+dr9ZcIrGzGyARgRERH98nv3yey4AP/Z"
)


@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 4, 0, 3, 1)])
def test_position_gives_the_order(phantom: Any, order: tuple[int, ...]) -> None:
    datasets = phantom(5, 4, 4, shuffled_numbers=True)
    parent = parent_of([datasets[index] for index in order])
    assert [d.SOPInstanceUID for d in parent.instances] == [d.SOPInstanceUID for d in datasets]
    assert parent.pivot.SOPInstanceUID == datasets[0].SOPInstanceUID
    assert len(parent) == 5 and parent.shape == (5, 4, 4)
    assert parent.series_instance_uid == datasets[0].SeriesInstanceUID
    assert parent.study_instance_uid == datasets[0].StudyInstanceUID
    assert parent.modality == datasets[0].Modality


def test_its_repr_is_one_line_that_names_nobody() -> None:
    parent = parent_of(ct_phantom(3, 8, 6))
    assert repr(parent) == "ParentSeries(CT, 3 instances of 8 x 6, volumes=1)"


def test_a_folder_of_files_of_all_kinds(tmp_path: Path) -> None:
    datasets = ct_phantom(4, 4, 4)
    (tmp_path / "deeper").mkdir()
    for index, dataset in enumerate(datasets):
        (tmp_path / ("deeper" if index % 2 else "") / f"{9 - index}.bin").write_bytes(encode(dataset))
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "DICOMDIR").write_bytes(encode(mr_phantom(1)[0]))
    parent = ParentSeries.from_folder(tmp_path)
    assert [d.SOPInstanceUID for d in parent.instances] == [d.SOPInstanceUID for d in datasets]
    with pytest.raises(InvalidParent, match="is not a folder"):
        ParentSeries.from_folder(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidParent, match="holds no DICOM file"):
        ParentSeries.from_folder(tmp_path / "empty")


def _patients(d: list[Dataset]) -> None:
    d[1].PatientID = "SOMEONE ELSE"


def _studies(d: list[Dataset]) -> None:
    d[2].StudyInstanceUID = "1.2.3"


def _series(d: list[Dataset]) -> None:
    d[2].SeriesInstanceUID = "1.2.3"


def _classes(d: list[Dataset]) -> None:
    d[2].SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"


def _twice(d: list[Dataset]) -> None:
    d.append(d[0])


def _same_place(d: list[Dataset]) -> None:
    d[1].ImagePositionPatient = d[0].ImagePositionPatient


def _orientations(d: list[Dataset]) -> None:
    d[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def _sizes(d: list[Dataset]) -> None:
    d[0].Rows, d[0].Columns = 2, 8


def _spacings(d: list[Dataset]) -> None:
    d[0].PixelSpacing = [1, 3]


def _some_positions(d: list[Dataset]) -> None:
    del d[0].ImagePositionPatient


def _no_numbers(d: list[Dataset]) -> None:
    d[0].ImagePositionPatient = [1, 2]


def _empty_position(d: list[Dataset]) -> None:
    d[0].ImagePositionPatient = None


def _no_unit_vectors(d: list[Dataset]) -> None:
    for dataset in d:
        dataset.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


def _zero_vectors(d: list[Dataset]) -> None:
    for dataset in d:
        dataset.ImageOrientationPatient = [0, 0, 0, 0, 0, 0]


def _no_spacing(d: list[Dataset]) -> None:
    for dataset in d:
        dataset.PixelSpacing = [0, 0]


def _frames(d: list[Dataset]) -> None:
    d[0].NumberOfFrames = 8


def _no_image(d: list[Dataset]) -> None:
    del d[0].Rows


def _no_uid(d: list[Dataset]) -> None:
    del d[0].SOPInstanceUID


REFUSED: list[tuple[Callable[[list[Dataset]], None], type[DerivedSeriesError], str]] = [
    (_patients, Conflict, "2 different PatientIDs: 'PHANTOM-1', 'SOMEONE ELSE'"),
    (_studies, Conflict, "2 different StudyInstanceUIDs: .*'1.2.3'"),
    (_series, InvalidParent, "2 different values of SeriesInstanceUID: .*1.2.3"),
    (_classes, InvalidParent, "2 different values of SOPClassUID: .*1.1.7"),
    (_twice, InvalidParent, "occur more than once, such as 1.2.826"),
    (
        _same_place,
        GeometryError,
        r"1 slices share a position with the slice before.*2 instances at 1 positions.*2 at \[",
    ),
    (_orientations, GeometryError, r"2 orientations.*1 x \[0.0, 1.0.*3 x \[1.0, 0.0"),
    (_sizes, InvalidParent, "several sizes.*3 of 4 x 4, 1 of 2 x 8"),
    (_spacings, GeometryError, r"PixelSpacing differs.*1.0, 3.0"),
    (_some_positions, GeometryError, "1 of 4 instances have no ImagePositionPatient"),
    (_no_numbers, GeometryError, r"ImagePositionPatient \(0020,0032\) of instance .*not 3 numbers"),
    (_empty_position, GeometryError, r"ImagePositionPatient \(0020,0032\) of instance .*not 3 numbers"),
    (_no_unit_vectors, GeometryError, "not two unit vectors"),
    (_zero_vectors, GeometryError, "not two unit vectors"),
    (_no_spacing, GeometryError, "not positive"),
    (_frames, InvalidParent, r"is multi-frame \(8 frames\), but of a class of single frames \(CT Image Storage\)"),
    (_no_image, InvalidParent, "is not an image"),
    (_no_uid, InvalidParent, r"1 of 4 instances have no SOPInstanceUID"),
]


@pytest.mark.parametrize(("spoil", "kind", "text"), REFUSED, ids=[spoil.__name__ for spoil, _, _ in REFUSED])
def test_what_is_not_a_volume_is_refused_by_name(spoil: Any, kind: type[DerivedSeriesError], text: str) -> None:
    datasets = ct_phantom(4, 4, 4)
    spoil(datasets)
    with pytest.raises(kind, match=text) as error:
        ParentSeries.from_datasets(datasets)
    assert type(error.value) is kind
    assert error.value.http_status == (409 if kind is Conflict else 422)


def test_no_instance_at_all() -> None:
    with pytest.raises(InvalidParent, match="no instance"):
        ParentSeries.from_datasets([])


def test_bytes_that_are_not_dicom() -> None:
    whole = encode(ct_phantom(1)[0])
    for content in (b"", b"text" * 100, whole[:140]):
        with pytest.raises(InvalidParent):
            ParentSeries.from_bytes([content])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InvalidParent, match="bytes of pixels|cannot be read"):
            ParentSeries.from_bytes([whole[:-100]]).voxels()


def test_headers_alone() -> None:
    parent = ParentSeries.from_bytes((encode(d) for d in ct_phantom(3, 4, 4)), pixels=False)
    assert parent.shape == (3, 4, 4) and parent.grid is not None
    with pytest.raises(InvalidParent, match="has no pixel data"):
        parent.voxels()


def test_without_positions_the_numbers_give_the_order() -> None:
    datasets = ct_phantom(4, 4, 4, shuffled_numbers=True)
    for dataset in datasets:
        del dataset.ImagePositionPatient
    assert [d.InstanceNumber for d in ParentSeries.from_datasets(datasets).instances] == [1, 2, 3, 4]


def test_each_slice_has_a_rescale_of_its_own() -> None:
    datasets = pet_phantom(5, 8, 8)
    assert len({dataset.RescaleSlope for dataset in datasets}) == 5
    parent = parent_of(datasets)
    wanted = np.stack([d.pixel_array * float(d.RescaleSlope) for d in datasets])
    assert np.allclose(parent.voxels(), wanted, rtol=1e-6) and parent.voxels().dtype == np.float32
    assert np.array_equal(parent.stored(), np.stack([d.pixel_array for d in datasets]))


@pytest.mark.parametrize(("bits", "high"), [(12, 11), (12, 15), (12, 13), (9, 8), (16, 15)])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("rubbish", [0, 1])
def test_fewer_bits_than_allocated(bits: int, high: int, signed: bool, rubbish: int) -> None:
    """Sign-extended, and cleared of what overlays of old left in the unused bits."""
    low = -(1 << (bits - 1)) if signed else 0
    wanted = np.linspace(low, low + (1 << bits) - 1, 64).astype(int).reshape(1, 8, 8)
    field = (wanted & ((1 << bits) - 1)) << (high + 1 - bits)
    field |= (0xFFFF & ~(((1 << bits) - 1) << (high + 1 - bits))) * rubbish
    (dataset,) = ct_phantom(1, 8, 8)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, high, int(signed)
    dataset.RescaleIntercept = 0
    dataset.PixelData = field.astype("<u2").tobytes()
    parent = parent_of([dataset])
    assert np.array_equal(parent.stored(), wanted)
    assert np.array_equal(parent.voxels(), wanted)
    assert np.array_equal(volume(build(parent)), wanted)


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("high", "signed"), [(11, False), (13, True), (15, False), (15, True)])
def test_values_below_the_highest_bit_in_any_syntax(syntax: str, high: int, signed: bool) -> None:
    """Run lengths and bytes in another order have the same unused bits as plain pixels (PS3.5 8.1.1, annex G)."""
    low = -2048 if signed else 0
    wanted = np.linspace(low, low + 4095, 64).astype(int).reshape(1, 8, 8)
    (dataset,) = ct_phantom(1, 8, 8)
    dataset.PixelRepresentation, dataset.RescaleIntercept = int(signed), 0
    shifted, above_and_below = (wanted & 0xFFF) << (high - 11), 0xFFFF & ~(0xFFF << (high - 11))
    dataset.PixelData = (shifted | above_and_below).astype("<u2").tobytes()
    dataset.BitsStored, dataset.HighBit = 16, 15  # the encoder takes no others as they are
    (source,) = compressed([dataset], syntax)
    source.BitsStored, source.HighBit = 12, high
    assert np.array_equal(parent_of([source]).voxels(), wanted)


def with_table(vr: str, first: int, bits: int, data: bytes | list[int], *, signed: bool, entries: int) -> Dataset:
    """A CT slice of the values first - 8 to first + 55, with a modality LUT in place of its rescale."""
    (dataset,) = ct_phantom(1, 8, 8, signed=True)
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = np.arange(first - 8, first + 56).astype("<i2" if signed else "<u2").tobytes()
    table = Dataset()
    table.add_new("LUTDescriptor", vr, [entries, first % 65536 if vr == "US" else first, bits])
    table.ModalityLUTType = "US"
    table.add_new("LUTData", "US" if isinstance(data, list) else "OW", data)
    dataset.ModalityLUTSequence = [table]
    return dataset


@pytest.mark.parametrize(
    ("vr", "first", "bits", "signed"),
    [("SS", -1000, 16, True), ("US", -1000, 16, True), ("US", 1000, 16, False), ("US", 1000, 12, False)],
)
@pytest.mark.parametrize("form", ["words", "bytes", "list"])
def test_a_modality_lut_in_every_form(vr: str, first: int, bits: int, signed: bool, form: str) -> None:
    """Entries of 8 bits are packed; the first value is signed where the pixels are (PS3.3 C.11.1.1)."""
    entries = (np.arange(40) * 3 + 5).astype("<u2")
    data: Any = {"words": entries.tobytes(), "bytes": entries.astype("u1").tobytes(), "list": entries.tolist()}[form]
    source = with_table(vr, first, 8 if form == "bytes" else bits, data, signed=signed, entries=40)
    wanted = entries[np.clip(np.arange(-8, 56), 0, 39)]
    assert np.array_equal(parent_of([source]).voxels().ravel(), wanted)


def test_a_modality_lut_of_all_values_of_signed_pixels() -> None:
    entries = np.arange(65536, dtype="<u2")[::-1]
    source = with_table("SS", -32768, 16, entries.tobytes(), signed=True, entries=0)
    source.PixelData = np.linspace(-32768, 32767, 64).astype("<i2").tobytes()
    wanted = 65535 - (np.linspace(-32768, 32767, 64).astype("<i2").astype(int) + 32768)
    assert np.array_equal(parent_of([source]).voxels().ravel(), wanted)


def test_a_modality_lut_that_is_too_short_is_refused() -> None:
    short = with_table("SS", -1000, 16, bytes(20), signed=True, entries=40)
    with pytest.raises(InvalidParent, match=r"LUTData \(0028,3006\) has 10 entries, and .* says 40"):
        parent_of([short]).voxels()
    del short.ModalityLUTSequence[0].LUTDescriptor
    with pytest.raises(InvalidParent, match=r"LUTDescriptor \(0028,3002\) is None"):
        parent_of([short]).voxels()


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_integers_of_all_sizes(dtype: str) -> None:
    wanted = np.arange(-20 if "i" in dtype else 0, 44 if "i" in dtype else 64).reshape(1, 8, 8).astype(dtype)
    (dataset,) = mr_phantom(1, 8, 8)
    dataset.BitsAllocated = dataset.BitsStored = wanted.itemsize * 8
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int("i" in dtype)
    dataset.PixelData = wanted.tobytes()
    parent = parent_of([dataset])
    assert np.array_equal(parent.voxels(), wanted) and np.array_equal(parent.stored(), wanted)


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize(
    "syntax",
    [RLELossless, JPEGLSLossless, JPEG2000Lossless, ImplicitVRLittleEndian, ExplicitVRBigEndian]
    + [DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
def test_any_transfer_syntax(syntax: UID, phantom: Any) -> None:
    plain = phantom(3, 32, 33)
    packed = ParentSeries.from_bytes(encode(dataset) for dataset in compressed(plain, syntax))
    assert packed.pivot.file_meta.TransferSyntaxUID == syntax
    parent = parent_of(plain)
    assert np.array_equal(packed.stored(), parent.stored())
    assert np.array_equal(packed.voxels(), parent.voxels())
    assert np.array_equal(volume(build(packed)), volume(build(parent)))


def test_signed_pixels_in_jpeg_2000_and_jpeg_ls() -> None:
    plain = ct_phantom(2, 32, 32, signed=True)
    for syntax in (JPEG2000Lossless, RLELossless):
        packed = ParentSeries.from_datasets(compressed(plain, syntax))
        assert packed.voxels().min() < -900 and np.array_equal(packed.voxels(), parent_of(plain).voxels())


@pytest.mark.parametrize("number", [201, 202, 203])
def test_htj2k(number: int) -> None:
    (dataset,) = ct_phantom(1, 16, 16)
    dataset.BitsStored, dataset.HighBit = 16, 15
    dataset.PixelData = encapsulate([HTJ2K])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(f"1.2.840.10008.1.2.4.{number}")
    rows, columns = np.mgrid[:16, :16]
    assert np.array_equal(parent_of([dataset]).stored()[0], 7 * columns**2 + 13 * rows)
    assert np.array_equal(parent_of([dataset]).voxels()[0], 7 * columns**2 + 13 * rows - 1024)


def test_pixels_that_cannot_be_decoded() -> None:
    (packed,) = compressed(ct_phantom(1, 32, 32), JPEG2000Lossless)
    packed.PixelData = encapsulate([b"\xff\x4f rubbish"])
    with pytest.raises(InvalidParent, match=r"cannot be decoded \(JPEG 2000 .*Lossless Only"):
        ParentSeries.from_datasets([packed]).voxels()
    (short,) = ct_phantom(1, 8, 8)
    short.PixelData = short.PixelData[:-2]
    with pytest.raises(InvalidParent, match="126 bytes of pixels, 8 x 8 of 16 bits need 128"):
        ParentSeries.from_datasets([short]).voxels()
    (bare,) = ct_phantom(1, 8, 8)
    del bare.BitsStored
    with pytest.raises(InvalidParent, match="no BitsStored"):
        ParentSeries.from_datasets([bare]).voxels()
    (unknown,) = ct_phantom(1, 8, 8)
    unknown.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
    unknown.PixelData = encapsulate([b"video"])
    unknown["PixelData"].is_undefined_length = True
    with pytest.raises(InvalidParent, match="cannot be decoded"):
        ParentSeries.from_datasets([unknown]).voxels()


def test_colour_has_no_real_world_values() -> None:
    (dataset,) = ct_phantom(1, 8, 8)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = bytes(range(192))
    parent = parent_of([dataset])
    assert parent.stored().shape == (1, 8, 8, 3)
    with pytest.raises(InvalidParent, match="3 samples|colour"):
        parent.voxels()
    assert len(written(build(parent, np.zeros((1, 8, 8)), blueprint="secondary_capture"))) == 1


def test_reading_values_changes_nothing() -> None:
    datasets = ct_phantom(3, 8, 8)
    before = [encode(dataset) for dataset in datasets]
    parent = ParentSeries.from_datasets(datasets)
    values = parent.voxels()
    values += 1
    stored = parent.stored()
    stored += 1
    assert not np.array_equal(parent.voxels(), values) and not np.array_equal(parent.stored(), stored)
    assert [encode(dataset) for dataset in datasets] == before
