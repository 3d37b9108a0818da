"""Siemens mosaics: splitting the tiled slices of a volume by the private CSA header.

nibabel reads the header and describes the format ("Siemens mosaic format" in its documentation): the tiles fill a
square row by row, ImagePositionPatient is for a single image of the mosaic's size, and SliceNormalVector in the
header gives the direction from tile to tile.
"""

from __future__ import annotations

import math
import struct
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.value_rules import texts_in
from derived_series.dicom.source.multiframe.frame import MOST_FRAMES, FrameDataset, common_elements
from derived_series.errors import InvalidParent

with warnings.catch_warnings():  # nibabel warns about all its DICOM readers
    warnings.simplefilter("ignore", UserWarning)
    from nibabel.nicom import csareader

_IMAGE_TYPE, _POSITION, _LOCATION = Tag("ImageType"), Tag("ImagePositionPatient"), Tag("SliceLocation")
_ROWS, _COLUMNS = Tag("Rows"), Tag("Columns")
_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices", "Rows", "Columns")
_CSA_NEEDED = ("NumberOfImagesInMosaic", "SliceNormalVector")
#: The tolerance of a cosine of 1.
_SAME_DIRECTION = 1e-3


def is_mosaic(dataset: Dataset) -> bool:
    """Whether ImageType says that it is a mosaic; read without converting, since most instances are not."""
    element = dataset.get_item(_IMAGE_TYPE)
    value = None if element is None else element.value
    return b"MOSAIC" in value if isinstance(value, bytes) else "MOSAIC" in (value or ())


def tiles(source: Dataset) -> list[FrameDataset]:
    """Split a mosaic into one dataset for each slice, in the order of the tiles.

    :raises InvalidParent: attributes with the number, order or place of the tiles are missing; the error names them.
    """
    header = _csa_header(source)
    lacking = [keyword for keyword in _NEEDED if source.get(keyword) is None]
    lacking += [f"{name} (in the CSA header)" for name in _CSA_NEEDED if not header.get(name)]
    if lacking:
        raise _refusal(source, f"it lacks {', '.join(lacking)}")
    count = int(header["NumberOfImagesInMosaic"][0])
    if not 0 < count <= MOST_FRAMES:
        raise _refusal(source, f"its NumberOfImagesInMosaic is {count}")
    side = math.ceil(math.sqrt(count))
    if source.Rows % side or source.Columns % side:
        raise _refusal(source, f"{source.Rows} x {source.Columns} pixels are no {side} x {side} tiles")
    rows, columns = source.Rows // side, source.Columns // side
    first, step = _first_and_step(source, header, rows, columns)
    common = common_elements(source)
    common.pop(_LOCATION, None)
    common[_ROWS], common[_COLUMNS] = DataElement(_ROWS, "US", rows), DataElement(_COLUMNS, "US", columns)
    common[_IMAGE_TYPE] = DataElement(
        _IMAGE_TYPE, "CS", [kind for kind in texts_in(source, "ImageType") if kind != "MOSAIC"]
    )
    frames = []
    for index in range(count):
        place = [decimal_string(value) for value in first + index * step]
        row, column = divmod(index, side)
        box = (slice(row * rows, (row + 1) * rows), slice(column * columns, (column + 1) * columns))
        elements = {**common, _POSITION: DataElement(_POSITION, "DS", place)}
        frames.append(FrameDataset(elements, source, index + 1, box))
    return frames


def _csa_header(source: Dataset) -> dict[str, list[Any]]:
    """Read the CSA image header (0029,xx10), by name. :raises InvalidParent: it is missing or broken."""
    try:
        csa_header = csareader.get_csa_header(source)
        values = {name: list(tag["items"]) for name, tag in (csa_header or {"tags": {}})["tags"].items()}
    except (csareader.CSAError, ValueError, TypeError, KeyError, AssertionError, struct.error) as error:
        raise _refusal(source, f"its CSA header cannot be read: {error}") from error
    if not values:
        raise _refusal(source, "it has no CSA image header (0029,1010), which a de-identification may have removed")
    return values


def _first_and_step(
    source: Dataset, header: dict[str, list[Any]], rows: int, columns: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The position of the first tile and the step from tile to tile, LPS mm."""
    row, column = np.split(np.array([float(value) for value in source.ImageOrientationPatient]), 2)
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if not 0.9 < length < 1.1:
        raise _refusal(source, "its ImageOrientationPatient is not two unit vectors at a right angle")
    normal /= length
    csa_normal = np.array([float(value) for value in header["SliceNormalVector"]])
    if csa_normal.shape != (3,) or abs(abs(float(csa_normal @ normal)) - 1) > _SAME_DIRECTION:
        raise _refusal(
            source, f"its SliceNormalVector {csa_normal.tolist()} is not normal to its ImageOrientationPatient"
        )
    down, across = (float(value) for value in source.PixelSpacing)
    # the position is for a single image of the mosaic's size around the same centre
    position = np.array([float(value) for value in source.ImagePositionPatient])
    position += row * across * (source.Columns - columns) / 2 + column * down * (source.Rows - rows) / 2
    return position, math.copysign(abs(float(source.SpacingBetweenSlices)), float(csa_normal @ normal)) * normal


def _refusal(source: Dataset, why: str) -> InvalidParent:
    return InvalidParent(
        f"instance {source.get('SOPInstanceUID')} is a mosaic, several slices tiled in one image, and cannot be taken "
        f"apart: {why}",
        remedy="convert it to a series of one slice an instance first, from the original files",
    )
