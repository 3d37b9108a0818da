"""Who asks, by whose word; and the audit trail of what was asked, without a server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authorization_plugin import AuthorizationPlugin, Profile
from authorization_proxy import AuthorizationProxy, authorization_proxy
from derived_series.dicomweb.client import Connection
from derived_series.errors import Busy, Forbidden, InvalidRequest
from derived_series.jobs.queue.audit_log import Act, AuditFile
from derived_series.jobs.record import digest_of
from derived_series.orthanc.callers import Callers
from derived_series.orthanc.config import Settings
from derived_series.orthanc.http import Request
from orthanc_server import REPOSITORY, free_port
from route_client import RouteClient

SERIES = "-".join(["abcdabcd"] * 5)
ANNA = Profile("anna", frozenset({"all"}))
BASIC = "Basic " + base64.b64encode(b"tom:secret").decode()


@pytest.fixture
def proxy() -> Iterator[AuthorizationProxy]:
    with authorization_proxy(free_port(), AuthorizationPlugin({}), {"of anna": ANNA}) as proxy:
        proxy.target = proxy.url + "/unknown?"  # what it asks Orthanc meanwhile
        yield proxy


def asked(**headers: str) -> Request:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/series/x/review", headers=names, address="192.0.2.7")


def callers(url: str, *, has_profiles: bool = False, authenticates: bool = False) -> Callers:
    connection = Connection(url, authorization="Bearer ours", headers=(("token", "of anna"),))
    return Callers(connection, has_profiles=has_profiles, authenticates=authenticates, at_once=2)


def test_the_authorization_plugin_is_asked_with_the_callers_own_headers(proxy: AuthorizationProxy) -> None:
    who = callers(proxy.url, has_profiles=True, authenticates=True)
    by_token = who.known(asked(token="of anna", authorization=BASIC, x_forwarded_for="10.0.0.9"), None)
    assert (by_token.user, by_token.source) == ("anna", "AuthorizationPlugin"), "not Basic, which nobody has checked"
    assert by_token.to_json() == {
        "UserFrom": "AuthorizationPlugin",
        "User": "anna",
        "Address": "192.0.2.7",
        "ForwardedFor": "10.0.0.9",
    }
    with pytest.raises(InvalidRequest, match="'anna', in the name of 'otto'"):
        who.known(asked(token="of anna"), "otto")
    with pytest.raises(Forbidden, match="does not know who asks"):  # our own token is not sent along
        who.known(asked(), "otto")
    assert who.of(asked(), "otto").to_json() == {"UserFrom": "Nobody", "Address": "192.0.2.7"}
    assert who.name_of(asked(token="of anna")) == "anna" and who.name_of(asked()) is None


def test_a_plugin_that_does_not_answer_is_not_a_reason_to_believe_the_request() -> None:
    who = callers(f"http://127.0.0.1:{free_port()}", has_profiles=True, authenticates=True)
    with pytest.raises(Busy, match="does not say who asks"):
        who.known(asked(authorization=BASIC), "otto")
    assert who.of(asked(authorization=BASIC), "otto").user is None


def test_without_it_orthancs_word_counts_and_then_the_requests() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert callers(nowhere, authenticates=True).known(asked(authorization=BASIC), None).source == "Basic"
    assert callers(nowhere).known(asked(authorization=BASIC), "otto").to_json()["UserFrom"] == "Request"
    with pytest.raises(InvalidRequest, match='"User" is required'):
        callers(nowhere).known(asked(authorization=BASIC), None)
    assert callers(nowhere).of(asked()).source == "Nobody"


def test_headers_of_workers_are_in_no_text() -> None:
    connection = Connection("http://x", headers=(("token", "hush"),))
    assert "hush" not in repr(connection)
    settings = Settings.of({"OrthancHeaders": {"token": "hush"}})
    assert settings.orthanc_headers == {"token": "hush"} and "hush" not in repr(settings)
    for wrong in ({"token": "hush\n"}, {"to ken": "hush"}, {"token": ["hush"]}, ["hush"]):
        with pytest.raises(InvalidRequest) as caught:
            Settings.of({"OrthancHeaders": wrong})
        assert "OrthancHeaders" in str(caught.value) and "hush" not in str(caught.value)


def test_who_asks_is_not_a_part_of_what_is_made() -> None:
    request = {"Pipeline": "p"}
    assert digest_of(SERIES, {**request, "User": "anna"}, None, "") == digest_of(SERIES, request, None, "")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_act_is_in_the_job_in_the_file_and_in_orthancs_log(tmp_path: Path) -> None:
    folders = [str(REPOSITORY / "blueprints")]
    client = RouteClient(tmp_path, {"RemoteAccessAllowed": True}, BlueprintFolders=folders, Workers=1)
    client.gateway.add_series(SERIES, "i1", "i2")
    wanted = {"Pipeline": "gaussian_smoothing", "Asynchronous": True}
    try:
        job = client.post(f"/series/{SERIES}/derive", wanted, authorization=BASIC).json
        audit = client.get(job["Path"]).json["Content"]["Audit"]
        (derived,) = audit
        assert derived.pop("Time")
        by_tom = {"User": "tom", "UserFrom": "Basic", "Address": "192.0.2.7"}
        where = {"Series": SERIES, "Job": job["ID"]}
        assert derived == {"Action": "Derive", **by_tom, **where, "Pipeline": "gaussian_smoothing"}
        again = client.post(f"/series/{SERIES}/derive", {**wanted, "IfExists": "Reuse"}, authorization=BASIC)
        assert again.status == 200
        client.post(f"/series/{SERIES}/derive", {**wanted, "DryRun": True})  # nothing comes of it
        assert (
            client.request("POST", f"{job['Path']}/cancel", headers={"X-Forwarded-For": "198.51.100.1"}).status == 200
        )
        assert client.delete(job["Path"]).status == 409  # it is not over: not an act
        acts = lines(tmp_path / "storage" / "derived-series" / "audit.jsonl")
        assert [(act["Action"], act.get("User")) for act in acts] == [
            ("Derive", "tom"),
            ("Reuse", "tom"),
            ("Cancel", None),
        ]
        assert acts[2]["UserFrom"] == "Nobody" and acts[2]["ForwardedFor"] == "198.51.100.1"
        assert [act["Action"] for act in client.get(job["Path"]).json["Content"]["Audit"]] == [
            act["Action"] for act in acts
        ]
        assert [(user, series, action) for user, series, action, _ in client.gateway.acts] == [
            ("tom", SERIES, "Derive"),
            ("tom", SERIES, "Reuse"),
            ("", SERIES, "Cancel"),
        ]
        assert [json.loads(data) for *_, data in client.gateway.acts] == acts
    finally:
        client.gateway.end()


def test_the_file_keeps_to_its_room(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.jsonl", 5000)
    for number in range(200):
        file.write(Act("Derive", {"UserFrom": "Nobody"}, SERIES, str(number)))
    file.close()
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["audit.jsonl", *(f"audit.jsonl.{n}" for n in range(1, 5))]
    assert sum(each.stat().st_size for each in files) <= 5000
    kept = [int(act["Job"]) for each in [*files[:0:-1], files[0]] for act in lines(each)]
    assert kept == list(range(kept[0], 200)), "the newest, whole and in order"


def test_what_the_disk_does_not_take_is_an_error_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    AuditFile(tmp_path / "gone" / "audit.jsonl", 5000).write(Act("Derive", {"User": "anna"}, SERIES, "1"))
    assert "audit file cannot be written" in caplog.text and "anna" in caplog.text
