"""Tells the metadata that this software writes from what other programs write under the same numbers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal


class _Written(BaseModel):
    """The keys that are relied on, each of its own type; there may be others."""

    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_pascal)


class _Retrieval(_Written):
    job: str


class _Item(_Written):
    id: str = Field(alias="ID")


class _Parent(_Item):
    input: str = ""


class _Sibling(_Item):
    output: str


class _Rule(_Written):
    chain: list[str] = []
    depth: int = 0
    subject: str | None = None
    options: list[str] = []


class _Request(_Written):
    inputs: dict[str, str] = {}


class _Code(_Written):
    sha256: str = ""
    helpers: dict[str, Any] = {}
    algorithm: dict[str, Any] = {}


class _Provenance(_Written):
    job: str
    parents: list[_Parent] = []
    parent_series: str = ""
    created: str = ""
    output: str = ""
    pipeline: str | None = None
    blueprint: str | None = None
    rule: _Rule | None = None
    series: list[_Sibling] = []
    request: _Request = _Request()
    code: _Code | None = None


def provenance_in(document: object) -> dict[str, Any] | None:
    """The document if it is a provenance that this software could have written; else None."""
    return _if_fits(_Provenance, document)


def retrieval_in(document: object) -> dict[str, Any] | None:
    """The document if it is the mark of a series that a job has retrieved; else None."""
    return _if_fits(_Retrieval, document)


def _if_fits(shape: type[_Written], document: object) -> dict[str, Any] | None:
    try:
        shape.model_validate(document)
    except ValidationError:
        return None
    return document if isinstance(document, dict) else None
