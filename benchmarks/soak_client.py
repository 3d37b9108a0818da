"""Clients of a soak: every answer is timed and noted by its route; a status that is not expected is an error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.stow import Part10, store
from soak_course import Answer

_TIMEOUT_SECONDS = 120.0


class Unexpected(Exception):
    """What Orthanc or the plugin did is not what must be."""


class SoakClient:
    """For threads: each request has a connection of its own.

    :param note: is given each answer. :param now: seconds after the beginning.
    """

    def __init__(self, url: str, note: Callable[[Answer], None], now: Callable[[], float]):
        self.url = url
        self._note = note
        self._now = now

    @contextmanager
    def _timed(self, route: str) -> Iterator[list[int]]:
        """Note an answer; its status is put into the list. One that never came has status 0."""
        status: list[int] = []
        started, at = time.perf_counter(), self._now()
        try:
            yield status
        finally:
            self._note(Answer(at, route, time.perf_counter() - started, status[0] if status else 0))

    def ask(
        self,
        route: str,
        *ids: str,
        json_body: Any = None,
        data: bytes | None = None,
        options: Any = None,
        kind: str = "",
    ) -> requests.Response:
        """Send a request.

        :param route: method and path, with ``{}`` for each of ``ids``.
        :param kind: tells requests of a route apart.

        :raises Unexpected: an answer other than 2xx, or none.
        """
        method, _, path = route.partition(" ")
        headers = {"Accept-Encoding": "identity", "Connection": "close"}
        if options is not None:
            headers["X-Derived-Series-Options"] = json.dumps(options)
        name = route.partition("&")[0].replace("{}", "{id}") + (f", {kind}" if kind else "")
        with self._timed(name) as status, requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.request(
                    method, self.url + path.format(*ids), json=json_body, data=data, headers=headers,
                    timeout=_TIMEOUT_SECONDS,
                )  # fmt: skip
            except requests.RequestException as error:
                raise Unexpected(f"{route}: {error}") from error
            status.append(answer.status_code)
        if answer.status_code not in range(200, 300):
            raise Unexpected(f"{route}: {answer.status_code} {answer.text[:500]}")
        return answer

    def json(self, route: str, *ids: str, json_body: Any = None) -> Any:
        return self.ask(route, *ids, json_body=json_body).json()

    def store(self, study_instance_uid: str, parts: tuple[Part10, ...]) -> None:
        """Store instances by STOW-RS, in one request."""
        with self._timed("STOW-RS") as status, Client(Connection(self.url)) as client:
            if store(client, study_instance_uid, iter(parts)) != len(parts):
                raise Unexpected("STOW-RS stored less than all")
            status.append(200)
