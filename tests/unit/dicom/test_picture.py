"""The slice that a dry run shows: a PNG file of every kind of object that can be drawn."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from building import parent_of, ready
from derived_series import Blueprint, NumpyFactory, StaticElement, explain
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.explanation import dropped
from derived_series.dicom.preview import picture
from derived_series.dicom.series.finished import from_user_datasets
from phantoms import compressed, ct_phantom

PARENT = parent_of(ct_phantom(4, 20, 10, pixel_spacing=(2.0, 1.0)))


def shown(image: npt.NDArray[Any], blueprint: Blueprint, syntax: str = "ExplicitVRLittleEndian") -> Any:
    """The picture's pixels, and what else is told of it."""
    factory = NumpyFactory()
    series = factory.build(factory.make_series_header(PARENT, blueprint), image).written_in(syntax)
    document = picture(series)
    assert document is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(document.pop("PNG"))))), document


@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "RLELossless"])
def test_grey_in_the_headers_window(syntax: str) -> None:
    image = np.zeros((4, 20, 10), np.int16)
    image[2, :10], image[2, 10:, 5:] = 100, 50
    window = Blueprint([StaticElement("WindowCenter", 50), StaticElement("WindowWidth", 100)])
    pixels, document = shown(image, ready("ct") + window, syntax)
    assert np.array_equal(pixels, np.where(image[2] == 100, 255, np.where(image[2] == 50, 129, 0)))
    assert document == {"Instance": 3, "Frame": 1, "Aspect": 2.0}


def test_colour() -> None:
    image = np.random.default_rng(1).integers(0, 255, (4, 20, 10, 3), np.uint8)
    pixels, _ = shown(image, ready("secondary_capture"))
    assert np.array_equal(pixels, image[2])


def test_a_mask_and_floats() -> None:
    image = np.zeros((4, 20, 10), np.uint8)
    image[:, 3, 4] = 1
    for kind, values in (("segmentation", image), ("parametric_map", image.astype(np.float32) * 0.001)):
        pixels, document = shown(values, ready(kind))
        assert pixels.shape == (20, 10) and pixels[3, 4] == 255 and pixels.sum() == 255
        assert document["Instance"] == 1 and document["Frame"] == 3


def test_large_slices_are_thinned_out() -> None:
    parent = parent_of(ct_phantom(1, 600, 520))
    factory = NumpyFactory()
    document = picture(factory.build(factory.make_series_header(parent, ready("ct")), parent.voxels()))
    assert document is not None
    assert Image.open(io.BytesIO(base64.b64decode(document["PNG"]))).size == (260, 300)


def test_nothing_to_draw() -> None:
    note = Dataset()
    note.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    note.EncapsulatedDocument = b"%PDF"
    broken = compressed(ct_phantom(1, 16, 16), "1.2.840.10008.1.2.5")[0]
    broken.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.103"  # type: ignore[assignment]  # MPEG-4, which no decoder here knows
    for dataset in (note, broken):
        assert picture(from_user_datasets([dataset], PARENT, BuildContext())) is None


def test_what_is_dropped() -> None:
    factory = NumpyFactory()
    series = factory.build(factory.make_series_header(PARENT, ready("ct")), PARENT.voxels())
    rows = {row["Keyword"]: row for row in dropped(explain(series), PARENT)}
    assert rows["XRayTubeCurrent"] == {
        **{"Tag": "(0018,1151)", "Keyword": "XRayTubeCurrent", "VR": "IS", "Value": "250"},
    }
    assert not {"PixelData", "PatientID", "Rows"} & set(rows)
