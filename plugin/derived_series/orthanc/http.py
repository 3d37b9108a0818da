"""Requests and answers as values, independent of Orthanc."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from derived_series.errors import InvalidRequest
from derived_series.jobs.plain import json_bytes

#: Parts of the names of parameters that gateways add for the sender.
_ADDED = ("token", "auth", "key")


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request.

    :param groups: the groups of the route's pattern.
    :param query: the query string; Orthanc passes it for GET only.
    :param headers: by lower-case name.
    :param address: the sender's, if Orthanc passes it.
    """

    method: str
    uri: str
    groups: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    address: str = ""

    def check_query(self, *known: str) -> None:
        """Refuse unknown parameters, as a misspelt one would silently change the answer.

        Parameters that gateways and browsers add are accepted: tokens, and ``_``, which keeps caches away.

        :raises InvalidRequest: one is unknown; the message names the known ones.
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

    :param file: its content in place of the body, only with status 200.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    @classmethod
    def of(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A JSON answer, indented like Orthanc's."""
        return cls(json_bytes(document, indent=3) + b"\n", status, headers=headers or {})


Handler: TypeAlias = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """A route with its handlers.

    :param pattern: a regular expression for the whole path; :param handlers: by method.
    """

    pattern: str
    handlers: Mapping[str, Handler]
