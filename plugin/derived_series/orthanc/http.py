"""Requests and answers as values, apart from how Orthanc hands them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from derived_series.jobs.plain import json_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request.

    :param groups: what the route's pattern caught.
    :param query: the query string; Orthanc gives it for GET only.
    :param headers: by lower-case name.
    :param address: of who asks, where Orthanc tells.
    """

    method: str
    uri: str
    groups: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A REST answer.

    :param file: is its content in place of the body; of status 200 only.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    @classmethod
    def of(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A JSON answer, indented as Orthanc's are."""
        return cls(json_bytes(document, indent=3) + b"\n", status, headers=headers or {})


Handler: TypeAlias = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """:param pattern: a regular expression for the whole path; :param handlers: by method."""

    pattern: str
    handlers: Mapping[str, Handler]
