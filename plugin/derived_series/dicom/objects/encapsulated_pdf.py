"""Encapsulated PDF (PS3.3 A.45.1): a document of the patient's study, such as a report of the derivation."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from derived_series.dicom.image.placement import Placement, without_geometry
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.objects.single_instance import IMAGE_ONLY, draft_of, finished
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import InvalidImage
from derived_series.kinds import file_type
from derived_series.kinds.encapsulated_pdf import PDF
from derived_series.kinds.kind import PixelRules


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Refuse: a document is made from a file, not from pixels. :raises InvalidImage: always."""
    raise InvalidImage(
        "an Encapsulated PDF is made from a PDF file, not from an array of pixels",
        remedy="use the factory pdf, and a PDF file in place of an image",
    )


def build_from_file(header: SeriesHeader, content: bytes) -> FinishedSeries:
    """Build the document.

    :param content: a whole PDF file.
    :raises InvalidImage: the bytes are not a PDF file.
    """
    if not isinstance(content, bytes) or file_type(content) is not PDF:
        beginning = repr(content[:8]) if isinstance(content, bytes) else type(content).__name__
        raise InvalidImage(
            f"the document is not a PDF file: {beginning}", remedy="give the bytes of a file that begins with %PDF-"
        )
    nothing = encode_pixels(np.zeros((1, 1, 1), dtype=np.uint8), PixelRules())  # a document has no pixels
    draft = draft_of(header, nothing, without_geometry(header.parent, 1), IMAGE_ONLY)
    padded = content if len(content) % 2 == 0 else content + b"\0"
    structure = [
        DataElement(Tag("MIMETypeOfEncapsulatedDocument"), "LO", "application/pdf"),
        DataElement(Tag("EncapsulatedDocument"), "OB", padded),
        DataElement(Tag("EncapsulatedDocumentLength"), "UL", len(content)),
    ]
    return finished(draft, structure)
