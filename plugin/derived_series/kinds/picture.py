"""Pictures of labels drawn over their parent: secondary captures, or pages of an encapsulated PDF."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from derived_series.json_model import JsonModel
from derived_series.kinds.encapsulated_pdf import ENCAPSULATED_PDF
from derived_series.kinds.kind import Kind, RequestKey
from derived_series.kinds.secondary_capture import SECONDARY_CAPTURE
from derived_series.kinds.segmentation import SEGMENTS


class PictureRequest(JsonModel):
    """How labels are drawn over their parent."""

    fill: Annotated[float, Field(ge=0, le=1)] | None = None
    legend: bool | None = None
    note: bool | None = None
    patient: bool | None = None
    sheet: Annotated[int, Field(ge=0, le=64)] | None = None


#: What is drawn; the attribute itself is not written.
_SIGN = "GraphicAnnotationSequence"
PICTURE = RequestKey("Picture", _SIGN, module="picture", form=PictureRequest | None)

#: Name, what it is written as, and what it is.
_ROWS = (
    (
        "overlay",
        SECONDARY_CAPTURE,
        "a label map drawn over its parent in RGB, one picture a slice or a sheet of slices; described by "
        "`segments(...)` as a segmentation; `picture(fill=0.4, note=True, sheet=12)` says how",
    ),
    (
        "summary",
        SECONDARY_CAPTURE,
        "one page of a label map: names, volumes in ml, and three planes through the largest structure",
    ),
    (
        "overlay_pdf",
        ENCAPSULATED_PDF,
        "the pictures of `overlay` as a PDF: a sheet of 12 slices, unless asked otherwise",
    ),
    ("summary_pdf", ENCAPSULATED_PDF, "the page of `summary` as a PDF"),
)

KINDS = tuple(
    Kind(
        name,
        "picture",
        (sop_class,),
        description,
        builder="pictures",
        made_from="Labels",
        keys=(SEGMENTS, PICTURE),
        shows_parent=True,
        sign=_SIGN,
    )
    for name, sop_class, description in _ROWS
)
