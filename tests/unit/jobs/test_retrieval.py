"""Inputs at other servers, without one: what a query matches, and a retrieval that does not end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import Conflict, InvalidRequest, NotFound, StorageError
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.metadata import RETRIEVED
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, State, subject_of
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.requests.retrieval import RetrieveRequest
from derived_series.jobs.work.attempt import Attempt
from derived_series.jobs.work.choice import Asking, chosen_series, matches
from derived_series.jobs.work.peers import DicomWebServer, Found, Peer
from derived_series.jobs.work.progress import Progress
from derived_series.jobs.work.retrieval import retrieved
from derived_series.orthanc.retrieval_marks import mark_retrieved
from derived_series.orthanc.studies import StudyReader
from derived_series.pipelines import Input
from rule_world import RuleGateway


@pytest.mark.parametrize(
    ("value", "pattern", "key", "expected"),
    [
        ("Thorax thin", "thorax*", "SeriesDescription", True),
        ("Thorax [thin]", "Thorax [thin]", "SeriesDescription", True),
        ("Thorax t", "Thorax [thin]", "SeriesDescription", False),
        ("Abdomen", "thorax*", "SeriesDescription", False),
        ("B31", "B3?", "SeriesDescription", True),
        ("B3", "B3?", "SeriesDescription", False),
        ("CT\\PT", "PT", "ModalitiesInStudy", True),
        ("1.2.3", "1.2.4\\1.2.3", "SeriesInstanceUID", True),
        ("1.2.33", "1.2.4\\1.2.3", "SeriesInstanceUID", False),
        ("", "*", "SeriesDescription", True),
        ("", "CT", "Modality", False),
        ("20240315", "20240101-20241231", "StudyDate", True),
        ("20250315", "20240101-20241231", "StudyDate", False),
        ("20230315", "20240101-", "StudyDate", False),
        ("20230315", "-20240101", "StudyDate", True),
        ("", "-20240101", "StudyDate", False),
        ("101500.25", "09-10", "StudyTime", True),
        ("110000", "09-10", "StudyTime", False),
    ],
)
def test_what_a_query_matches(value: str, pattern: str, key: str, expected: bool) -> None:
    assert matches(value, pattern, key) is expected


class _Stuck:
    """Orthanc with a job that never ends."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.asked: list[dict[str, Any]] = []

    connection = Connection("http://127.0.0.1")

    def get_json(self, path: str) -> Any:
        return {"State": "Running", "Progress": 30}

    def post_json(self, path: str, text: str) -> Any:
        if path.endswith("/cancel"):
            self.cancelled.append(path)
        self.asked.append(json.loads(text))
        return {"ID": "7"}


def test_a_retrieval_that_does_not_end_is_cancelled() -> None:
    server = _Stuck()
    percents: list[int] = []
    with pytest.raises(StorageError, match=r"has not come from 'web' within 0.3 s") as failure:
        DicomWebServer(cast(Client, server), "web").retrieve("1.2", "1.2.3", 0.3, "job", percents.append)
    assert not failure.value.transient and "RetrieveTimeout" in str(failure.value.remedy)
    assert server.cancelled == ["/jobs/7/cancel"] and set(percents) == {30}
    assert server.asked[0]["UserData"] == {"DerivedSeriesJob": "job"} and server.asked[0]["Synchronous"] is False


def test_a_job_that_is_not_wanted_any_more_cancels_its_retrieval() -> None:
    server = _Stuck()

    def report(percent: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DicomWebServer(cast(Client, server), "web").retrieve("1.2", "1.2.3", 30, "job", report)
    assert server.cancelled == ["/jobs/7/cancel"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"Pipeline": "p", "Retrieve": {"a": {}}}, "Retrieve.a.From"),
        ({"Pipeline": "p", "Retrieve": {"a": {"From": "x", "Query": {"PatientName": "Doe"}}}}, "leave out PatientName"),
        ({"Pipeline": "p", "Retrieve": {"a": {"From": "x", "Query": {"0008,0060": "CT"}}}}, "Retrieve.a.Query"),
        ({"Pipeline": "p", "Retrieve": {"a": {"From": "x"}}, "IfExists": "Reuse"}, "only the job learns"),
        ({"Pipeline": "p", "Retrieve": {"a": {"From": "x"}}, "Inputs": {"a": "0" * 8}}, "Inputs"),
        ({"Blueprint": "ct", "Factory": "numpy", "Retrieve": {"a": {"From": "x"}}}, "there is no Pipeline"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        DeriveRequest.of(keys)


def test_an_input_is_named_or_retrieved() -> None:
    series = "-".join(["0123abcd"] * 5)
    both = {"Pipeline": "p", "Inputs": {"a": series}, "Retrieve": {"a": {"From": "x"}}}
    with pytest.raises(InvalidRequest, match="Retrieve and Inputs both name a"):
        DeriveRequest.of(both)


def test_another_server_is_another_subject() -> None:
    plain = {"Pipeline": "p"}
    subjects = [subject_of("s", {**plain, **more}) for more in ({}, {"Retrieve": {"a": {"From": "x"}}})]
    assert subjects[0] != subjects[1]


class CT(Input):
    required_values = {"Modality": "CT"}


class Prior(CT):
    prior = True


class Perhaps(Prior):
    optional = True


class _Archive(Peer):
    """A server that answers every query with all that it has, whatever was asked for."""

    kind = "archive"
    studies_there: ClassVar[dict[str, dict[str, str]]] = {}
    series_there: ClassVar[dict[str, list[dict[str, str]]]] = {}

    def studies(self, keys: Mapping[str, str]) -> list[Found]:
        return [{"PatientID": "P*", "StudyInstanceUID": uid, **study} for uid, study in self.studies_there.items()]

    def series(self, study: str, keys: Mapping[str, str]) -> list[Found]:
        return list(self.series_there.get(study, []))

    def begin(self, study: str, series: str, more: Mapping[str, Any]) -> str:
        raise AssertionError("nothing is retrieved here")


def archive(**studies: tuple[str, list[tuple[str, str]]]) -> _Archive:
    """By StudyInstanceUID (with _) the StudyDate and the series: SeriesInstanceUID and Modality."""

    class Archive(_Archive):
        studies_there: ClassVar[dict[str, dict[str, str]]] = {
            uid: {"StudyDate": date} for uid, (date, _) in studies.items()
        }
        series_there: ClassVar[dict[str, list[dict[str, str]]]] = {
            uid: [{"SeriesInstanceUID": one, "Modality": modality} for one, modality in series]
            for uid, (_, series) in studies.items()
        }

    return Archive(cast(Client, None), "pacs")


PARENT = Asking("patient", "P*", "HOSPITAL", "now", ("20260101", "1200"))


def choose(peer: Peer, wanted: type[Input] = Prior, **query: str) -> str | None:
    chosen = chosen_series(peer, PARENT, "before", wanted, query)
    return None if chosen is None else chosen["SeriesInstanceUID"]


def test_the_latest_study_before_that_has_such_a_series() -> None:
    peer = archive(
        old=("20240101", [("1", "CT")]),
        now=("20260101", [("2", "CT")]),
        mr=("20251001", [("3", "MR")]),
        last=("20250601", [("4", "CT"), ("5", "SR")]),
        later=("20260601", [("6", "CT")]),
        undated=("", [("7", "CT")]),
    )
    assert choose(peer) == "4"
    assert choose(peer, StudyDate="20240101-20241231") == "1"
    assert choose(peer, StudyInstanceUID="later") == "6", "a study that is named may be any but the parent's"
    assert choose(peer, CT) == "2", "what is no prior is of the parent's study"


def test_no_other_patient_and_no_other_issuer() -> None:
    peer = archive(a=("20240101", [("1", "CT")]), b=("20250101", [("2", "CT")]))
    peer.studies_there["b"]["PatientID"] = "Peter"
    assert choose(peer) == "1"
    peer.studies_there["a"]["IssuerOfPatientID"] = "ELSEWHERE"
    with pytest.raises(NotFound, match="'pacs' has no series of the patient that is taken as the input 'before'"):
        choose(peer)
    assert choose(peer, Perhaps) is None
    peer.studies_there["a"]["IssuerOfPatientID"] = "HOSPITAL"
    assert choose(peer) == "1"


def test_several_series_are_named_and_a_query_narrows_them() -> None:
    peer = archive(a=("20240101", [(str(number), "CT") for number in range(7)]))
    for each in peer.series_there["a"]:
        each["SeriesDescription"] = f"thin {each['SeriesInstanceUID']}"
    with pytest.raises(Conflict, match=r"7 series of one study at 'pacs' match .* 4 \(thin 4\), \.\.\."):
        choose(peer)
    assert choose(peer, SeriesDescription="*5") == "5"
    with pytest.raises(NotFound):
        choose(peer, BodyPartExamined="HEAD")


class _Killed(BaseException):
    """The end of a worker."""


class _Here:
    """This Orthanc, with a server that has one series of a prior study.

    :ivar here: the instances of it that have come. :ivar marks: its metadata. :ivar announced: what was written down.
    """

    connection = Connection("http://127.0.0.1")

    def __init__(self, here: int = 0) -> None:
        self.here = here
        self.marks: list[dict[str, Any]] = []
        self.announced: list[dict[str, Any]] = []
        self.dies_after: int | None = None

    def get_json(self, path: str) -> Any:
        if path.endswith("/patient"):
            return {"ID": "patient"}
        if path == "/dicom-web/servers":
            return ["web"]
        if path == "/series/prior":
            return {"Instances": ["i"] * self.here}
        if path.startswith("/series/"):
            return {"Instances": ["p"]}
        if path.startswith("/instances/"):
            return {"PatientID": "P", "StudyDate": "20260101", "StudyInstanceUID": "now"}
        if self.dies_after is not None:
            self.here = self.dies_after
            raise _Killed
        self.here = 3
        return {"State": "Success", "Progress": 100}

    def post_json(self, path: str, text: str) -> Any:
        if path == "/tools/find":
            return ["prior"] * bool(self.here)
        assert path.endswith(("/retrieve", "/cancel"))
        return {"ID": "7"}

    def send(self, method: str, url: str, **keys: Any) -> Any:
        if url.endswith("/progress"):
            self.announced += [each for each in [json.loads(keys["data"]).get("Retrieves")] if each]
            return SimpleNamespace(status_code=200)
        tag = {"0020000D": {"Value": ["old"]}, "00100020": {"Value": ["P"]}, "00080020": {"Value": ["20250101"]}}
        of_series = {"0020000E": {"Value": ["1.2"]}, "00080060": {"Value": ["CT"]}, "00201209": {"Value": [3]}}
        answer = [of_series if "series" in json.loads(keys["data"])["Uri"] else tag]
        return SimpleNamespace(status_code=200, content=b"[]", json=lambda: answer)

    def get_bytes(self, path: str) -> bytes:
        if not self.marks:
            raise NotFound("none")
        return json.dumps(self.marks[-1]).encode()

    def put(self, path: str, data: bytes) -> None:
        assert path == f"/series/prior/metadata/{RETRIEVED}"
        self.marks.append(json.loads(data))

    def attempt(self, number: int, announced: tuple[str, ...] = ()) -> Any:
        task = DeriveTask("job", number, "parent", {}, datetime(2026, 1, 1), self.connection, (), announced=announced)
        client = cast(Client, self)
        progress = Progress(client, "/progress", "job", number)
        attempt = Attempt(task, client, progress, cast(Any, SimpleNamespace(line=lambda text: None)))
        return retrieved(attempt, "before", Prior, RetrieveRequest.model_validate({"From": "web"}))


@pytest.mark.parametrize("come", [3, 1, 0])
def test_what_a_killed_worker_has_brought_is_marked_by_the_next_attempt(come: int) -> None:
    server = _Here()
    server.dies_after = come
    with pytest.raises(_Killed):
        server.attempt(1)
    assert server.marks == [] and [each["SeriesInstanceUID"] for each in server.announced] == ["1.2"]
    server.dies_after = None
    brought = server.attempt(2, announced=("1.2",))
    assert brought.series == "prior" and brought.origin["From"] == "web"
    (mark,) = server.marks
    assert mark["Job"] == "job" and mark["InstancesCount"] == 3


@pytest.mark.parametrize("here", [3, 1])
def test_what_had_come_by_itself_is_not_marked(here: int) -> None:
    server = _Here(here)
    assert server.attempt(1).series == "prior"
    assert server.marks == server.announced == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    jobs = JobStore(tmp_path / "jobs")
    yield jobs
    jobs.close()


def test_what_is_announced_is_not_a_series_for_rules_and_is_marked_when_its_job_is_over(
    tmp_path: Path, store: JobStore
) -> None:
    gateway, retrievals = RuleGateway(tmp_path, {}), Retrievals(store)
    retrievals.expect("1.2", "job", {"From": "web"})
    retrievals.expect("1.2", "job", {"From": "web"})
    gateway.add_series("prior", "i", SeriesInstanceUID="1.2")
    gateway.add_series("other", "o", SeriesInstanceUID="1.3")
    gateway.resources |= {f"/instances/{each}/tags?short": {} for each in "io"}
    gateway.resources |= {f"/instances/{each}/metadata?expand": {} for each in "io"}

    def is_retrieved(series: str) -> bool:
        return StudyReader(gateway, {}, store, Retrievals(store)).facts(series).is_retrieved

    assert is_retrieved("prior") and not is_retrieved("other")
    find: Callable[..., Any] = lambda path, body: [{"ID": "prior"}] if "1.2" in body else []  # noqa: E731
    gateway.post = find  # type: ignore[method-assign]
    job = JobRecord("job", "parent", {}, None, "s", "d", 0.0)
    mark_retrieved(gateway, retrievals, job)
    assert gateway.written == {}, "it is not over"
    mark_retrieved(gateway, retrievals, JobRecord("job", "parent", {}, None, "s", "d", 0.0, state=State.FAILURE))
    mark = json.loads(gateway.written[f"/series/prior/metadata/{RETRIEVED}"])
    assert (mark["Job"], mark["From"], mark["ID"]) == ("job", "web", "prior")
    assert retrievals.of_job("job") == {} and not retrievals.is_expected("1.2")
