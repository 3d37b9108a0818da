"""Requests and answers as values, apart from how Orthanc hands them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from derived_series.errors import InvalidRequest
from derived_series.jobs.plain import json_bytes

#: In the names of parameters by which gateways say who asks.
_ADDED = ("token", "auth", "key")


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

    def check_query(self, *known: str) -> None:
        """Refuse parameters that a route does not have, as a misspelt one would answer something else unseen.

        What gateways and browsers add passes: tokens, and ``_``, by which caches are kept away.

        :raises InvalidRequest: naming those there are.
        """
        unknown = [
            name
            for name in self.query
            if name not in (*known, "_") and not any(part in name.lower() for part in _ADDED)
        ]
        if unknown:
            raise InvalidRequest(
                f"{self.uri} has no parameter {', '.join(repr(name[:40]) for name in unknown)}",
                remedy=f"it has {', '.join(known)}" if known else "it has none",
            )


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
