"""Of a series and the one that replaces it, there is always one: what is to be removed is noted before that begins."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import NotFound, StorageError
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.work.attempt import Attempt, make_attempt
from derived_series.jobs.work.deriving import derive
from derived_series.jobs.work.progress import NotWanted, Progress
from derived_series.jobs.work.removal import REPLACING, with_former, without_former

ANSWER = {
    "ID": "new",
    "Warnings": ["of the parent"],
    "Series": [{"Output": "result", "ID": "new", "Warnings": ["of the parent"]}],
}


class Server:
    """An Orthanc with series, which notes in which order it is asked.

    :ivar refuses: the path of a series that cannot be removed now. :ivar status: of the answer to what is noted.
    """

    connection = Connection("http://127.0.0.1")

    def __init__(self, *series: str, accepted: str | None = None):
        self.series = set(series)
        self.accepted = accepted
        self.acts: list[str] = []
        self.refuses = ""
        self.status = 200

    def delete(self, path: str) -> bool:
        self.acts.append(f"remove {path}")
        if path == self.refuses:
            raise StorageError("not now", transient=True)
        self.series.discard(path.removeprefix("/series/"))
        return True

    def get_bytes(self, path: str) -> bytes:
        if self.accepted is not None and f"/{self.accepted}/" in path:
            return b'{"State": "Accepted"}'
        raise NotFound(path)

    def post_json(self, path: str, body: str) -> Any:
        return ["superseded"]

    def send(self, method: str, url: str, **keys: Any) -> Any:
        self.acts.append("note")
        return SimpleNamespace(status_code=self.status)

    def attempt(self, **task: Any) -> Attempt:
        client = cast(Client, self)
        progress = Progress(client, "/progress", "job", 1)
        record = DeriveTask("job", 1, "parent", {}, datetime(2026, 1, 1), self.connection, (), **task)
        return Attempt(record, client, progress, cast(Any, None))


def test_what_is_replaced_is_noted_before_it_is_removed() -> None:
    server = Server("one", "two", "superseded", "new")
    attempt = server.attempt(replaces=("one", "two"), supersedes=("earlier",))
    result = with_former(attempt, ANSWER)
    assert server.acts == ["note"] and result == {**ANSWER, REPLACING: ["one", "two", "superseded"]}
    assert attempt.progress.result == result, "whatever comes now, the series stay"
    assert without_former(attempt, result) == ANSWER
    assert server.series == {"new"}


def test_without_a_series_to_replace_nothing_is_noted() -> None:
    server = Server("new")
    assert with_former(server.attempt(), ANSWER) == ANSWER and server.acts == []


def test_who_is_not_wanted_removes_nothing() -> None:
    server = Server("one", "new")
    server.status = 409
    attempt = server.attempt(replaces=("one",))
    with pytest.raises(NotWanted):
        with_former(attempt, ANSWER)
    assert server.series == {"one", "new"} and attempt.progress.result is None


def test_an_accepted_series_is_not_replaced() -> None:
    server = Server("one", "two", "three", accepted="two")
    attempt = server.attempt(accepted=("three",))
    answer = without_former(attempt, {**ANSWER, REPLACING: ["one", "two", "three"]})
    assert server.series == {"two", "three"}
    kept = [f"the series {series} is not replaced: it was accepted; delete it yourself" for series in ("two", "three")]
    assert answer["Warnings"] == answer["Series"][0]["Warnings"] == ["of the parent", *kept]


def test_the_next_attempt_removes_what_is_left_to_remove() -> None:
    """The attempt that failed there leaves its own series."""
    server = Server("one", "two", "new")
    server.refuses = "/series/two"
    first = server.attempt(replaces=("one", "two"))
    result = with_former(first, ANSWER)
    with pytest.raises(StorageError):
        without_former(first, result)
    assert server.series == {"two", "new"} and first.progress.result == result
    server.refuses = ""
    outcome = derive(server.attempt(result=result))
    assert outcome.error is None and outcome.result == ANSWER and server.series == {"new"}


def test_a_failed_attempt_keeps_what_is_noted() -> None:
    def work(attempt: Attempt) -> Any:
        attempt.progress.result = {**ANSWER, REPLACING: ["one"]}
        raise StorageError("not now", transient=True)

    task = DeriveTask("job", 1, "parent", {}, datetime(2026, 1, 1), Connection("http://127.0.0.1:9"), ())
    outcome = make_attempt(task, work)
    assert outcome.result == {**ANSWER, REPLACING: ["one"]} and isinstance(outcome.error, StorageError)
