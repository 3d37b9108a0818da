"""Objects of many frames are written without a second copy of their pixels, and have them for whoever reads them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from building import build, parent_of
from derived_series.dicom.encoding.late_pixels import LatePixels
from derived_series.dicom.encoding.writer import as_read, encode_element
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.validation import validate
from phantoms import ct_phantom, decoded

VALUES = np.arange(25 * 7 * 9, dtype=np.int16).reshape(25, 7, 9)
KINDS = {"legacy_enhanced_ct": ("PixelData", "<i2"), "parametric_map": ("FloatPixelData", "<f4")}


@pytest.fixture(scope="module")
def parent() -> ParentSeries:
    return parent_of(ct_phantom(25, 7, 9))


def finished(parent: ParentSeries, name: str) -> tuple[FinishedSeries, LatePixels]:
    """A series of one instance, and its pixels."""
    series = build(parent, VALUES, blueprint=name)
    assert isinstance(series, FinishedSeries)
    pixels = series.datasets[0][KINDS[name][0]]
    assert isinstance(pixels, LatePixels)
    return series, pixels


@pytest.mark.parametrize("name", KINDS)
def test_the_gate_and_the_writer_make_no_copy_of_the_pixels(parent: ParentSeries, name: str) -> None:
    series, pixels = finished(parent, name)
    assert not [each for each in validate(series, parent) if each.tag == int(pixels.tag)]
    file = bytes(series.buffer(0))
    assert pixels.is_late
    keyword, dtype = KINDS[name]
    values = np.frombuffer(decoded(file)[keyword].value, dtype)
    assert np.array_equal(np.sort(values), VALUES.ravel())
    assert series.encode(0) == file


@pytest.mark.parametrize("name", KINDS)
def test_who_reads_the_pixels_gets_bytes_and_the_file_is_the_same(parent: ParentSeries, name: str) -> None:
    series, pixels = finished(parent, name)
    late = bytes(series.buffer(0))
    assert isinstance(pixels.value, bytes) and len(pixels.value) == pixels.size and pixels.VM == 1
    assert not pixels.is_late
    assert bytes(series.buffer(0)) == late == series.encode(0)


def test_copies_have_their_pixels(parent: ParentSeries) -> None:
    series, pixels = finished(parent, "legacy_enhanced_ct")
    (dataset,) = series.datasets
    for each in (copy.deepcopy(dataset), pickle.loads(pickle.dumps(pixels)), copy.copy(pixels)):
        assert (each.PixelData if isinstance(each, Dataset) else each.value) == pixels.value


def test_pixels_that_are_set_or_cleared_are_what_is_written(parent: ParentSeries) -> None:
    series, pixels = finished(parent, "legacy_enhanced_ct")
    pixels.value = b"\1\2"
    assert decoded(series.encode(0)).PixelData == b"\1\2"
    wrong = [str(each) for each in validate(series, parent) if each.tag == int(pixels.tag)]
    assert wrong and "has 2 bytes" in wrong[0]
    pixels.clear()
    assert pixels.is_empty and not decoded(series.encode(0)).get("PixelData")


def test_a_length_that_does_not_fit_is_refused_without_reading_the_pixels(parent: ParentSeries) -> None:
    series, pixels = finished(parent, "legacy_enhanced_ct")
    series.datasets[0].Rows = 8
    assert any("bytes; Rows, Columns and bits ask for" in str(each) for each in validate(series, parent))
    assert pixels.is_late


def test_an_instance_that_is_not_the_parents_is_named_wherever_it_stands(parent: ParentSeries) -> None:
    """In the middle of an encoded sequence, too, of whose items the first and the last are checked."""
    series, _ = finished(parent, "legacy_enhanced_ct")
    (dataset,) = series.datasets
    copied = Dataset(dict(dataset.items()))
    copied.file_meta = dataset.file_meta
    references = copy.deepcopy(dataset["ReferencedSeriesSequence"])
    references.value[0].ReferencedInstanceSequence[2].ReferencedSOPInstanceUID = "1.2.3"
    copied[Tag("ReferencedSeriesSequence")] = as_read(encode_element(references, ["iso8859"]))
    findings = validate(replace(series, datasets=(copied,)), parent)
    assert any("names 1 instance(s) that the parent does not have: 1.2.3" in str(each) for each in findings)
