"""Multi-frame Secondary Capture, grey with 8 or 16 bits or in colour (PS3.3 A.8.3 to A.8.5): the pages of an image."""

from __future__ import annotations

from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import StoredPixels, encode_pixels
from derived_series.dicom.objects.plane_elements import with_place
from derived_series.dicom.objects.single_instance import draft_of, finished
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.source.slices import by_slice
from derived_series.errors import PixelError
from derived_series.kinds.kind import PixelRules


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the object. Its class follows from the image: colour, 8 bits or 16.

    :param image: whole numbers from 0 to 65535, (slice, row, column), or uint8 (slice, row, column, 3) in RGB.
    :raises PixelError: there are other values: the classes have no rescale.
    """
    pixels = encode_pixels(by_slice(image, placement.volumes), PixelRules(), nan)
    if pixels.rescaled or (pixels.signed and pixels.low < 0):
        raise PixelError(
            f"a multi-frame secondary capture has no rescale, but the image has values from {pixels.low:g} to "
            f"{pixels.high:g} that are not whole numbers from 0 to 65535",
            remedy="scale and round the image to uint8 or uint16, or use secondary_capture",
        )
    draft = with_place(draft_of(header, pixels, placement), placement.grid, kept=["PixelSpacing"])
    structure = Dataset()
    structure.SOPClassUID = _class(pixels)
    structure.SamplesPerPixel = pixels.samples
    structure.PhotometricInterpretation = "RGB" if pixels.samples == 3 else "MONOCHROME2"
    if pixels.samples == 3:
        structure.PlanarConfiguration = 0
    else:
        structure.PresentationLUTShape = "IDENTITY"
        structure.RescaleIntercept, structure.RescaleSlope, structure.RescaleType = 0, 1, "US"
    structure.Rows, structure.Columns = pixels.rows, pixels.columns
    structure.BitsAllocated = structure.BitsStored = pixels.bits
    structure.HighBit = pixels.bits - 1
    structure.PixelRepresentation = 0
    structure.NumberOfFrames = len(pixels.image)
    if len(pixels.image) > 1:
        structure.FrameIncrementPointer = Tag("PageNumberVector")
        structure.PageNumberVector = list(range(1, len(pixels.image) + 1))
    stored = b"".join(pixels.stored(index).tobytes() for index in range(len(pixels.image)))
    structure.add(DataElement(Tag("PixelData"), "OB" if pixels.bits == 8 else "OW", stored + b"\0" * (len(stored) % 2)))
    return finished(draft, list(structure))


def _class(pixels: StoredPixels) -> str:
    if pixels.samples == 3:
        return MultiFrameTrueColorSecondaryCaptureImageStorage
    if pixels.bits == 8:
        return MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    return MultiFrameGrayscaleWordSecondaryCaptureImageStorage
