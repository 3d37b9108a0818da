"""What the review page is told of pixels, and the plain bytes that frames come as; no server, no browser."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from building import build, parent_of, written
from derived_series import Segment
from derived_series import segments as described_by
from derived_series.dicom.modules.cielab import cielab, srgb
from derived_series.dicom.source.instances import read_file
from derived_series.errors import InvalidParent, InvalidRequest
from derived_series.review import segments
from derived_series.review.frame_bytes import FrameFormat, frames
from derived_series.review.frame_places import frame_places
from derived_series.review.manifest import series_document
from phantoms import compressed, ct_phantom, decoded, encode, mr_phantom, pet_phantom


def document(datasets: list[Dataset]) -> dict[str, Any]:
    return series_document(datasets, {str(dataset.SOPInstanceUID): f"id {i}" for i, dataset in enumerate(datasets)})


def test_slices_are_told_in_geometric_order_with_their_own_rescale() -> None:
    datasets = pet_phantom(slices=3, descending=True, shuffled_numbers=True)
    page = document(datasets)
    assert page["Slices"]["Instance"] == ["id 2", "id 1", "id 0"]
    assert page["Slices"]["Slope"] == [float(dataset.RescaleSlope) for dataset in reversed(datasets)]
    assert (page["Units"], page["Window"], page["Problem"]) == ("BQML", [15000, 30000], None)
    assert page["Grid"]["Positions"][0] == [float(value) for value in datasets[2].ImagePositionPatient]
    assert page["Formats"][0] | {"Rows": 0} == FrameFormat.of(datasets[0]).to_json() | {"Rows": 0}


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID", "ELSE"])
def test_the_window_is_told_with_its_function(function: str | None) -> None:
    datasets = ct_phantom(2)
    for dataset in datasets:
        if function is not None:
            dataset.VOILUTFunction = function
    page = document(datasets)
    if function == "ELSE":
        assert page["Window"] is None
    else:
        assert page["Window"] == [40, 80] and page["WindowFunction"] == (function or "LINEAR").upper()
    assert page["WindowStep"] == 1


def test_a_series_that_cannot_be_a_volume_is_told_in_the_order_of_its_numbers() -> None:
    datasets = [*ct_phantom(2), *mr_phantom(2, 32, 24)]
    for number, dataset in enumerate(datasets):
        dataset.SOPClassUID, dataset.SeriesInstanceUID, dataset.InstanceNumber = "1.2.3", "1.2", 9 - number
    page = document(datasets)
    assert page["Grid"] is None and "orientations" in page["Problem"]
    assert page["Slices"]["Instance"] == ["id 3", "id 2", "id 1", "id 0"]


def palette() -> Dataset:
    dataset = ct_phantom(1, 4, 4)[0]
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = bytes(range(16))
    for colour, factor in (("Red", 256), ("Green", 512), ("Blue", 0)):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256, dtype=np.uint32) * factor).astype("<u2").tobytes()
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table)
    return dataset


def test_palettes_come_as_colours() -> None:
    how = FrameFormat.of(palette())
    assert (how.raw, how.type, how.samples) == (False, "uint8", 3)
    colours = np.frombuffer(frames(decoded(encode(palette())), "x", [0], 1), np.uint8).reshape(16, 3)
    assert colours.tolist() == [[value, 2 * value, 0] for value in range(16)]


def test_a_modality_lut_comes_as_its_values() -> None:
    dataset = ct_phantom(1, 4, 4)[0]
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "HU"
    item.LUTData = (np.arange(4096) * 3).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    dataset.ModalityLUTSequence = [item]
    dataset.PixelData = np.arange(16, dtype="<u2").tobytes()
    assert FrameFormat.of(dataset).type == "float32" and not FrameFormat.of(dataset).raw
    assert np.frombuffer(frames(decoded(encode(dataset)), "x", [0], 1), "<f4").tolist() == [
        3 * value for value in range(16)
    ]


def test_frames_of_segments_come_packed() -> None:
    parent = parent_of(ct_phantom(3, 5, 5))
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[0, 1, 2], labels[1:, 4, 4] = 1, 2
    (dataset,) = written(build(parent, labels, blueprint="segmentation"))
    page = document([dataset])
    assert (page["Kind"], page["Format"]["Type"]) == ("Segmentation", "bits")
    places = list(zip(page["Frames"]["Segment"], page["Frames"]["Slice"], strict=True))
    assert sorted(places) == [(1, 0), (2, 1), (2, 2)]
    assert page["Grid"]["Positions"] == [list(map(float, p)) for p in parent.require_grid().positions]
    packed = np.frombuffer(frames(decoded(encode(dataset)), "x", [0], 3), np.uint8).reshape(3, 4)
    masks = np.unpackbits(packed, axis=1, count=25, bitorder="little").reshape(3, 5, 5)
    assert np.array_equal(masks, [labels[index] == segment for segment, index in places])


@pytest.mark.parametrize(("largest", "kind"), [(9, "uint8"), (3000, "uint16")])
def test_a_label_map_has_its_labels_in_one_frame_a_slice(largest: int, kind: str) -> None:
    parent = parent_of(ct_phantom(3, 5, 6, orientation="oblique"))
    labels = np.zeros((3, 5, 6), np.uint16)
    labels[0, 1, 2], labels[1:, 4, 4] = 2, largest
    described = described_by(Segment(2, "Liver", "Liver", color="#b5651d"), Segment(largest, "Cyst", "Cyst"))
    series = build(parent, labels, described, blueprint="label_map_segmentation").written_in("RLELossless")
    (dataset,) = written(series)
    page = document([dataset])
    assert (page["Kind"], page["IsLabelMap"], page["Format"]["Type"]) == ("Segmentation", True, kind)
    assert page["SOPClass"] == "Label Map Segmentation Storage"
    assert [(each["Number"], each["Label"]) for each in page["Segments"]] == [(2, "Liver"), (largest, "Cyst")]
    assert page["Segments"][0]["Color"] == "#b5651d"
    assert page["Grid"]["Positions"] == [list(map(float, p)) for p in parent.require_grid().positions]
    values = np.frombuffer(frames(decoded(encode(dataset)), "x", [0], 3), np.dtype(kind).newbyteorder("<"))
    assert np.array_equal(values.reshape(labels.shape), labels[np.argsort(page["Frames"]["Slice"])])


def test_compressed_and_signed_values_come_clean() -> None:
    signed = ct_phantom(1, 32, 32, signed=True)
    wanted = np.frombuffer(signed[0].PixelData, "<i2")
    (packed,) = compressed(signed, JPEG2000Lossless)
    assert not FrameFormat.of(packed).raw
    assert np.array_equal(np.frombuffer(frames(decoded(encode(packed)), "x", [0], 1), "<i2"), wanted)


def test_frames_that_there_are_not_are_refused() -> None:
    dataset = ct_phantom(1, 4, 4)[0]
    for firsts, count in (([1], 1), ([0], 2), ([0], 0), ([0, 1], 1), ([], 1)):
        with pytest.raises(InvalidRequest, match="has 1 frames"):
            frames(dataset, "x", firsts, count)


def segmentation(columns: int = 8) -> tuple[Dataset, npt.NDArray[np.uint8]]:
    """Of 4 segments in 5 slices, and its labels."""
    parent = parent_of(ct_phantom(5, 6, columns, orientation="oblique"))
    labels = np.random.default_rng(7).integers(0, 5, parent.shape).astype(np.uint8)
    labels[2][labels[2] == 3] = 0
    (dataset,) = written(build(parent, labels, blueprint="segmentation"))
    return dataset, labels


@pytest.mark.parametrize("columns", [8, 5], ids=["whole bytes", "frames that begin within a byte"])
@pytest.mark.parametrize("in_file", [False, True])
def test_some_frames_of_a_file_are_read_alone(tmp_path: Path, columns: int, in_file: bool) -> None:
    dataset, labels = segmentation(columns)
    (tmp_path / "a.dcm").write_bytes(encode(dataset))
    source = read_file(tmp_path / "a.dcm") if in_file else decoded(encode(dataset))
    page = document([source])
    where = list(zip(page["Frames"]["Segment"], page["Frames"]["Slice"], strict=True))
    wanted = [where.index((4, 1)), where.index((1, 1)), where.index((2, 4))]
    size = -(-6 * columns // 8)
    packed = np.frombuffer(frames(source, "x", wanted, 1), np.uint8).reshape(3, size)
    masks = np.unpackbits(packed, axis=1, count=6 * columns, bitorder="little").reshape(3, 6, columns)
    assert np.array_equal(masks, [labels[1] == 4, labels[1] == 1, labels[4] == 2])
    if columns == 8 and not in_file:
        source.PixelData = source.PixelData[: size * wanted[0]]
        with pytest.raises(InvalidParent, match="send the complete instance again"):
            frames(source, "x", wanted, 1)


@pytest.mark.parametrize("undefined", [False, True], ids=["defined lengths", "undefined lengths"])
def test_places_of_frames_are_those_that_pydicom_reads(
    tmp_path: Path, undefined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = segmentation()
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = undefined
    for item in dataset.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = undefined
    path = tmp_path / "a.dcm"
    path.write_bytes(encode(dataset))
    sources = [decoded(encode(dataset)), read_file(path)]
    quick = [frame_places(source) for source in sources]
    assert [places is None for places in quick] == [undefined, undefined]
    pages = [document([source]) for source in sources]
    monkeypatch.setattr(segments, "frame_places", lambda _: None)
    assert pages == [document([decoded(encode(dataset))])] * 2
    monkeypatch.undo()
    if not undefined:
        assert quick[0] is not None and len(quick[0]) == dataset.NumberOfFrames
        assert [place.segment for place in quick[0]] == pages[0]["Frames"]["Segment"]


def test_what_all_frames_share_counts_for_each() -> None:
    dataset, _ = segmentation()
    wanted = document([dataset])
    first = copy.deepcopy(dataset.SharedFunctionalGroupsSequence[0])
    for item in dataset.PerFrameFunctionalGroupsSequence:  # as others write it
        item.PlaneOrientationSequence = first.PlaneOrientationSequence
        item.PixelMeasuresSequence = first.PixelMeasuresSequence
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert document([decoded(encode(dataset))]) == wanted
    for item in dataset.PerFrameFunctionalGroupsSequence:
        del item.SegmentIdentificationSequence
    identification = Dataset()
    identification.ReferencedSegmentNumber = 3
    dataset.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = [identification]
    page = document([decoded(encode(dataset))])
    assert set(page["Frames"]["Segment"]) == {3} and page["Grid"] == wanted["Grid"]


@pytest.mark.parametrize("color", ["#b5651d", "#000000", "#ffffff", "#0044ff", "#46f0f0"])
def test_colours_come_back(color: str) -> None:
    assert srgb(cielab(color)) == color


def test_an_unlabelled_class_is_not_in_hounsfield_units() -> None:
    datasets = copy.deepcopy(ct_phantom(2))
    for dataset in datasets:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        del dataset.RescaleType
    assert document(datasets)["Units"] == ""
