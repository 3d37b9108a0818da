"""What the review page is told of pixels, and the plain bytes that frames come as; no server, no browser."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from building import build, parent_of, written
from derived_series.dicom.color import cielab, srgb
from derived_series.errors import InvalidRequest
from derived_series.review.manifest import series_document
from derived_series.review.pixels import FrameFormat, frames
from phantoms import compressed, ct_phantom, encode, mr_phantom, pet_phantom


def document(datasets: list[Dataset]) -> dict[str, Any]:
    return series_document(datasets, {str(dataset.SOPInstanceUID): f"id {i}" for i, dataset in enumerate(datasets)})


def test_slices_are_told_in_geometric_order_with_their_own_rescale() -> None:
    datasets = pet_phantom(slices=3, descending=True, shuffled_numbers=True)
    found = document(datasets)
    assert found["Slices"]["Instance"] == ["id 2", "id 1", "id 0"]
    assert found["Slices"]["Slope"] == [float(dataset.RescaleSlope) for dataset in reversed(datasets)]
    assert (found["Units"], found["Window"], found["Problem"]) == ("BQML", [15000, 30000], None)
    assert found["Grid"]["Positions"][0] == [float(value) for value in datasets[2].ImagePositionPatient]
    assert found["Formats"][0] | {"Rows": 0} == FrameFormat.of(datasets[0]).to_json() | {"Rows": 0}


def test_a_series_that_cannot_be_a_volume_is_told_in_the_order_of_its_numbers() -> None:
    datasets = [*ct_phantom(2), *mr_phantom(2, 32, 24)]
    for number, dataset in enumerate(datasets):
        dataset.SOPClassUID, dataset.SeriesInstanceUID, dataset.InstanceNumber = "1.2.3", "1.2", 9 - number
    found = document(datasets)
    assert found["Grid"] is None and "orientations" in found["Problem"]
    assert found["Slices"]["Instance"] == ["id 3", "id 2", "id 1", "id 0"]


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
    found = np.frombuffer(frames(encode(palette()), "x", 0, 1), np.uint8).reshape(16, 3)
    assert found.tolist() == [[value, 2 * value, 0] for value in range(16)]


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
    assert np.frombuffer(frames(encode(dataset), "x", 0, 1), "<f4").tolist() == [3 * value for value in range(16)]


def test_frames_of_segments_come_packed() -> None:
    parent = parent_of(ct_phantom(3, 5, 5))
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[0, 1, 2], labels[1:, 4, 4] = 1, 2
    (dataset,) = written(build(parent, labels, blueprint="segmentation"))
    found = document([dataset])
    assert (found["Kind"], found["Format"]["Type"]) == ("Segmentation", "bits")
    places = list(zip(found["Frames"]["Segment"], found["Frames"]["Slice"], strict=True))
    assert sorted(places) == [(1, 0), (2, 1), (2, 2)]
    assert found["Grid"]["Positions"] == [list(map(float, p)) for p in parent.require_grid().positions]
    packed = np.frombuffer(frames(encode(dataset), "x", 0, 3), np.uint8).reshape(3, 4)
    masks = np.unpackbits(packed, axis=1, count=25, bitorder="little").reshape(3, 5, 5)
    assert np.array_equal(masks, [labels[index] == segment for segment, index in places])


def test_compressed_and_signed_values_come_clean() -> None:
    signed = ct_phantom(1, 32, 32, signed=True)
    wanted = np.frombuffer(signed[0].PixelData, "<i2")
    (packed,) = compressed(signed, JPEG2000Lossless)
    assert not FrameFormat.of(packed).raw
    assert np.array_equal(np.frombuffer(frames(encode(packed), "x", 0, 1), "<i2"), wanted)


def test_frames_that_there_are_not_are_refused() -> None:
    data = encode(ct_phantom(1, 4, 4)[0])
    for first, count in ((1, 1), (0, 2), (0, 0)):
        with pytest.raises(InvalidRequest, match="has 1 frames"):
            frames(data, "x", first, count)


@pytest.mark.parametrize("color", ["#b5651d", "#000000", "#ffffff", "#0044ff", "#46f0f0"])
def test_colours_come_back(color: str) -> None:
    assert srgb(cielab(color)) == color


def test_an_unlabelled_class_is_no_hounsfield_unit() -> None:
    datasets = copy.deepcopy(ct_phantom(2))
    for dataset in datasets:
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
        del dataset.RescaleType
    assert document(datasets)["Units"] == ""
