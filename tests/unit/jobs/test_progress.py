"""What a worker tells the server: what has to be agreed on is asked again while the server is away for a moment."""

from __future__ import annotations

import io
import json
from typing import Any, cast

import pytest
import requests

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import StorageError
from derived_series.jobs.work import progress
from derived_series.jobs.work.progress import NotWanted, Progress


class Server:
    """A server with these statuses for the next requests, and 200 for those that follow.

    :ivar messages: those that it got.
    """

    connection = Connection("http://127.0.0.1")

    def __init__(self, *statuses: int):
        self.statuses = list(statuses)
        self.messages: list[dict[str, Any]] = []

    def send(self, method: str, url: str, **keys: Any) -> Any:
        self.messages.append(json.loads(keys["data"]))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise StorageError("no answer", transient=True)
        answer = requests.Response()
        answer.status_code, answer.url, answer.raw = status, url, io.BytesIO()
        answer.request = requests.Request(method, url).prepare()
        return answer

    def progress(self, route: str | None = "/progress") -> Progress:
        return Progress(cast(Client, self), route, "job", 2)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 0.3)


def test_a_server_that_is_away_for_a_moment_is_asked_again() -> None:
    server = Server(0, 503, 503)
    server.progress().begin_completion({"1.2": 3})
    assert server.messages == 4 * [{"Attempt": 2, "Completes": {"1.2": 3}}]
    server = Server(503)
    server.progress().settle()
    assert server.messages == 2 * [{"Attempt": 2, "Settled": True}]


def test_a_server_that_stays_away_fails_the_attempt() -> None:
    server = Server(*1000 * [503])
    with pytest.raises(StorageError) as failed:
        server.progress().begin_completion({"1.2": 3})
    assert failed.value.transient and len(server.messages) > 2


@pytest.mark.parametrize("status", [404, 409, 410])
def test_an_attempt_that_is_not_wanted_is_told_so_at_once(status: int) -> None:
    server = Server(status)
    with pytest.raises(NotWanted):
        server.progress().begin_completion({"1.2": 3})
    assert len(server.messages) == 1


def test_a_result_that_the_server_may_know_stays() -> None:
    """Its answer may be lost after it was written."""
    unanswered = Server(0).progress()
    unanswered.tell_result({"ID": "x"})
    assert unanswered.result == {"ID": "x"}
    refused = Server(409).progress()
    with pytest.raises(NotWanted):
        refused.tell_result({"ID": "x"})
    assert refused.result is None


def test_nothing_is_told_without_a_route() -> None:
    server = Server()
    silent = server.progress(None)
    silent.begin_completion({"1.2": 3})
    silent.settle()
    silent.check()
    assert server.messages == []
