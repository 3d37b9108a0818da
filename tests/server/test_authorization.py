"""An Orthanc behind what the authorization plugin decides: roles and routes, who gave a verdict, workers' credentials.

The plugin is a stand-in (``authorization_plugin``) in a proxy through which everybody asks, the workers as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from authorization_matrix import RESOURCE, ROLES, example, matrix
from authorization_plugin import AuthorizationPlugin, Profile
from authorization_proxy import AuthorizationProxy, authorization_proxy
from derived_series.orthanc.addresses import ADDRESSES
from derived_series.orthanc.permissions import SHIPPED
from orthanc_server import OrthancServer, free_port
from phantoms import ct_phantom
from server_fixtures import settings

WORKER = "token-of-the-worker"
#: What workers need, by the plugin's names and ours: docs/authorization.md.
OF_WORKERS = Profile("worker", frozenset({"view", "upload", "delete", "edit-labels", "send", "admin"}))
USERS = {f"token of {role}": profile for role, profile in ROLES.items() if role != "nobody"} | {WORKER: OF_WORKERS}
SECTION = json.loads(SHIPPED.read_text("utf-8"))["Authorization"]


@dataclass(frozen=True, slots=True)
class Case:
    """An Orthanc, the proxy before it, and a series in it."""

    server: OrthancServer
    proxy: AuthorizationProxy
    parent: str

    def ask(self, role: str, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        token = {} if role == "nobody" else {"token": f"token of {role}"}
        url = self.proxy.url + path
        return requests.request(method, url, headers={**token, **headers}, json=body, allow_redirects=False, timeout=60)


@pytest.fixture(scope="module")
def case(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder, port = tmp_path_factory.mktemp("authorized"), free_port()
    plugin = AuthorizationPlugin(SECTION, labels={RESOURCE: frozenset({"ours"})})
    with authorization_proxy(port, plugin, USERS) as proxy:
        keys = settings(folder / "library", Workers=1, OrthancUrl=proxy.url, OrthancHeaders={"token": WORKER})
        keys |= {"Authorization": {**SECTION, "WebServiceRootUrl": "http://127.0.0.1:9/"}, "HttpThreadsCount": 12}
        keys["StableAge"] = 600  # nothing becomes stable by itself while this runs
        with OrthancServer(folder, keys) as server:
            proxy.target = server.url
            yield Case(server, proxy, server.upload(ct_phantom(slices=2)))
            assert WORKER not in server.log(), "no token is in a log"


def test_orthanc_answers_whom_the_matrix_lets_in_and_no_other(case: Case) -> None:
    for (name, method), roles in matrix(SECTION).items():
        for role, allowed in roles.items():
            answer = case.ask(role, method, example(ADDRESSES[name].pattern), {} if method == "POST" else None)
            assert (answer.status_code != 403) == allowed, (name, method, role, answer.text)
            assert answer.status_code < 500, answer.text


def test_a_job_and_a_verdict_say_whose_they_are_by_the_plugins_word(case: Case) -> None:
    asked = {"Pipeline": "gaussian_smoothing", "User": "somebody"}
    answer = case.ask("view, derive", "POST", f"/series/{case.parent}/derive", asked)
    assert answer.status_code == 400 and "'dora', in the name of 'somebody'" in answer.json()["Message"]
    del asked["User"]
    answer = case.ask("view, derive", "POST", f"/series/{case.parent}/derive", asked)
    assert answer.status_code == 200, (answer.text, case.proxy.refused[-3:])
    derived = answer.json()
    assert not [request for request in case.proxy.refused if request[0] == "worker"]

    dora = {"User": "dora", "UserFrom": "AuthorizationPlugin", "Address": "127.0.0.1", "ForwardedFor": "127.0.0.1"}
    provenance = case.ask("view", "GET", f"/series/{derived['ID']}/provenance").json()
    assert provenance["By"] == dora

    features = case.server.json("/derived-series/status")["Orthanc"]
    end = time.monotonic() + 10
    while (stable := case.server.json(f"/series/{derived['ID']}")["IsStable"]) != features["SetStableStatus"]:
        assert time.monotonic() < end, "where Orthanc can be told that it is, a derived series is stable at once"
        time.sleep(0.05)
    assert not case.server.json(f"/series/{case.parent}")["IsStable"] and stable == features["SetStableStatus"]
    assert "audit log" not in case.server.log(), "Orthanc's own has taken all acts, where it has one"

    page = case.ask("view, review", "GET", f"/series/{derived['ID']}/review").json()
    assert page["AuthenticatedUser"] == "rita"
    verdict = {"Verdict": "Reject", "Code": "111218"}
    path = f"/series/{derived['ID']}/review"
    assert case.ask("view, review", "POST", path, {**verdict, "User": "otto"}).status_code == 400
    case.proxy.answers_profiles = False
    refused = case.ask("view, review", "POST", path, {**verdict, "User": "rita"}, Authorization="Basic cml0YTp4")
    case.proxy.answers_profiles = True
    assert refused.status_code == 403 and "does not know who asks" in refused.json()["Message"]
    rejected = case.ask("view, review", "POST", path, verdict).json()
    assert (rejected["State"], rejected["User"], rejected["UserFrom"]) == ("Rejected", "rita", "AuthorizationPlugin")
    kept = case.server.json(f"/series/{derived['ID']}/metadata/4301")
    assert {**dora, "User": "rita"}.items() <= kept.items()

    assert case.ask("view, admin", "DELETE", f"/series/{case.parent}/jobs/{derived['JobID']}").status_code == 200
    lines = (case.server.jobs_folder / "audit.jsonl").read_text("utf-8").splitlines()
    acts = [json.loads(line) for line in lines if derived["JobID"] in line]
    assert [(act["Action"], act["User"]) for act in acts] == [
        ("Derive", "dora"),
        ("Reject", "rita"),
        ("Delete", "adam"),
    ]
    assert WORKER not in "\n".join(lines) and "token of" not in "\n".join(lines)


def test_many_at_once_learn_who_they_are(case: Case) -> None:
    """Each of them holds one of Orthanc's 12 threads, and needs another: none waits for ever."""
    path = f"/series/{case.parent}/derive"
    request = {"Pipeline": "gaussian_smoothing", "Asynchronous": True, "DryRun": True}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: case.ask("view, derive", "POST", path, request).status_code, range(20)))
    assert answers == [200] * 20
