"""The segments in a request: a list, or a table by its name or its text."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from derived_series.json_model import JsonModel

_Text = Annotated[str, Field(min_length=1, max_length=128)]


class ConceptRequest(JsonModel):
    """A coded concept of any scheme."""

    value: Annotated[str, Field(min_length=1, max_length=16)]
    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]


class SegmentRequest(JsonModel):
    """What a label of a label map stands for; codes of SNOMED CT by name or value."""

    number: Annotated[int, Field(ge=0, le=65535)]
    label: Annotated[str, Field(min_length=1, max_length=64)]
    category: _Text | ConceptRequest | None = None
    type: _Text | ConceptRequest | None = None
    color: Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")] | None = None
    description: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    modifier: _Text | ConceptRequest | None = None
    region: _Text | ConceptRequest | None = None
    region_modifier: _Text | ConceptRequest | None = None
    tracking_id: Annotated[str | None, Field(alias="TrackingID", min_length=1, max_length=1024)] = None
    tracking_uid: Annotated[str | None, Field(alias="TrackingUID", min_length=1, max_length=64)] = None


class TableRequest(JsonModel):
    """The text of a file that describes segments."""

    table: Annotated[str, Field(min_length=1, repr=False)]


def _form(value: object) -> str:
    """The form of a value, so that errors are about that form only."""
    return "<list>" if isinstance(value, list) else "<table>" if isinstance(value, dict | TableRequest) else "<name>"


#: All of them.
SEGMENTS_FORM = Annotated[
    Annotated[list[SegmentRequest], Tag("<list>")]
    | Annotated[TableRequest, Tag("<table>")]
    | Annotated[_Text, Tag("<name>")],
    Discriminator(_form),
]
