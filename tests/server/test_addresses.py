"""Whose data each route carries: every row of the table of addresses, asked by two users, one kept from a patient by a
filter. Orthanc's filters see nothing of a request but its address, method and user.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from derived_series.errors import DerivedSeriesError
from derived_series.orthanc.addresses import ADDRESSES, bound
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive, npy, settings, submit, until
from telltale import SECRETS, TELLTALE

ANNA, EVE = ("anna", "one"), ("eve", "two")

#: Refuses Eve each address with one of the identifiers that a file lists.
FILTER = """
function IncomingHttpRequestFilter(method, uri, ip, username, headers)
   if username == 'eve' then
      for denied in io.lines('{denied}') do
         if string.find(uri, denied, 1, true) then return false end
      end
   end
   return true
end
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A server with a patient whom Eve may not see, of whom there are series and jobs of each kind."""

    server: OrthancServer
    parent: str
    derived: str
    instance: str
    jobs: dict[str, str]
    run: str

    def ask(self, user: tuple[str, str], method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(method, self.server.url + path, auth=user, json=body, allow_redirects=False, timeout=60)


@pytest.fixture(scope="module")
def case(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("filtered")
    rule = {"Name": "other", "Match": {"Modality": "US"}, "Derive": {"Pipeline": "plain"}}
    keys = settings(folder / "library", Rules=[rule], Workers=1)
    (folder / "library" / "telltale.py").write_text(TELLTALE)
    (folder / "filter.lua").write_text(FILTER.format(denied=folder / "denied"))
    (folder / "denied").write_text("")
    keys |= {"AuthenticationEnabled": True, "RegisteredUsers": dict([ANNA, EVE])}
    keys |= {"LuaScripts": [str(folder / "filter.lua")]}
    with OrthancServer(folder, keys) as server:
        datasets = list(ct_phantom(slices=3, patient_id="SECRET-ID", patient_name="Doe^Jane"))
        for each in datasets:
            each.PatientBirthDate, each.SeriesDescription = "19591231", "SECRET series"
        parent = server.upload(datasets)
        request = {"Pipeline": "telltale", "SeriesDescription": "SECRET result"}
        answer = derive(server, parent, **request)
        server.json(f"/series/{answer['ID']}/review", "POST", json={"Verdict": "Accept", "Reason": "confidential"})
        failing = server.post(f"/series/{parent}/derive", json={"Pipeline": "telltale", "Parameters": {"Raise": True}})
        assert "Doe^Jane" in failing.text, "what is to be kept from Eve is there"
        running = submit(server, parent, Pipeline="plain", Parameters={"Seconds": 600})
        until(server, running, {"Running"})
        parameters = {"Note": "confidential"}
        jobs = {
            "done": answer["JobID"],
            "failed": failing.json()["JobID"],
            "running": running,
            "waiting": submit(server, parent, Pipeline="telltale", Parameters=parameters),
        }
        headers = {"X-Derived-Series-Options": '{"Asynchronous": true}'}
        body = npy(np.zeros((3, 32, 24), np.int16))
        image = server.json(f"/series/{parent}/derive/ct/numpy", "POST", data=body, headers=headers)
        jobs["with image"] = image["ID"]
        ids = [parent, answer["ID"], *_above(server, parent)]
        ids += [each for series in ids[:2] for each in server.json(f"/series/{series}")["Instances"]]
        (folder / "denied").write_text("\n".join(ids) + "\n")
        instance = server.json(f"/series/{parent}")["Instances"][0]
        run = cancelled_run(server)
        yield Case(server, parent, answer["ID"], instance, jobs, run)
        server.post(f"/series/{parent}/jobs/{running}/cancel")


def cancelled_run(server: OrthancServer) -> str:
    """The address of a run that asked for the patient, and has begun nothing."""
    hour = time.localtime().tm_hour
    hours = [f"{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"]
    asked = {"Query": {"Query": {"PatientID": "SECRET-ID"}}, "Pipeline": "telltale", "Hours": hours}
    path = str(server.json("/derived-series/bulk", "POST", json=asked)["Path"])
    server.json(f"{path}/cancel", "POST", json={})
    end = time.monotonic() + 20
    while server.json(path)["State"] != "Cancelled":
        assert time.monotonic() < end, server.json(path)
        time.sleep(0.05)
    return path


def _above(server: OrthancServer, series: str) -> list[str]:
    study = server.json(f"/series/{series}")["ParentStudy"]
    return [study, server.json(f"/studies/{study}")["ParentPatient"]]


def probes(case: Case) -> dict[str, list[tuple[str, str, Any]]]:
    """Requests for each row of the table, each of which is answered to whoever may see the patient."""
    parent, derived, jobs = case.parent, case.derived, case.jobs
    ours = "/derived-series"
    rule = {"Name": "probe", "Match": {"PatientName": "Doe^Jane"}, "Derive": {"Pipeline": "plain"}}
    job = {name: f"/series/{parent}/jobs/{each}" for name, each in jobs.items()}
    return {
        "derive": [("POST", f"/series/{parent}/derive", {"Pipeline": "plain", "Asynchronous": True})],
        "derive image": [("POST", f"/series/{parent}/derive/ct/numpy", {})],
        "derived": [("GET", f"/series/{parent}/derived", None)],
        "provenance": [("GET", f"/series/{derived}/provenance", None)],
        "verdict": [
            ("GET", f"/series/{derived}/review", None),
            ("POST", f"/series/{derived}/review", {"Verdict": "Accept"}),
        ],
        "sources": [("GET", f"/series/{derived}/sources", None)],
        "manifest": [("GET", f"/series/{series}/manifest", None) for series in (parent, derived)],
        "fitting pipelines": [("GET", f"/series/{parent}/pipelines", None)],
        "try rules": [("POST", f"/series/{parent}/rules/simulate", {"Rules": [rule]})],
        "jobs of a series": [("GET", f"/series/{parent}/jobs?expand", None), ("GET", f"/series/{parent}/jobs", None)],
        "job of a series": [
            *(("GET", path, None) for path in job.values()),
            ("DELETE", job["failed"], None),
        ],
        "image": [("GET", job["with image"] + "/image", None)],
        "progress": [("POST", job["running"] + "/progress", {"Attempt": 1, "Progress": 1})],
        "log": [("GET", job["running"] + "/log?since=0", None)],
        "cancel": [("POST", job["waiting"] + "/cancel", {})],
        "resubmit": [("POST", job["failed"] + "/resubmit", {})],
        "attempt": [("POST", f"{job['running']}/{verb}", {}) for verb in ("claim", "attempt", "outcome")],
        "environment": [("POST", f"{ours}/environments/gpu/{verb}", {}) for verb in ("claim", "attempt", "outcome")],
        "bundle": [("GET", f"{ours}/bundles/{'0' * 64}", None)],
        "file of a bundle": [("GET", f"{ours}/bundles/{'0' * 64}/{'1' * 64}?offset=0", None)],
        "pixels": [("GET", f"/instances/{case.instance}/pixels/0/1", None)],
        "status": [("GET", f"{ours}/status", None)],
        "blueprints": [("GET", f"{ours}/blueprints?expand", None)],
        "blueprint": [("GET", f"{ours}/blueprints/ct", None)],
        "factories": [("GET", f"{ours}/factories?expand", None)],
        "pipelines": [("GET", f"{ours}/pipelines?expand", None)],
        "pipeline": [("GET", f"{ours}/pipelines/telltale", None)],
        "rules": [("GET", f"{ours}/rules", None)],
        "simulate": [
            ("POST", f"{ours}/rules/simulate", {"Series": [parent, derived]}),
            ("POST", f"{ours}/rules/simulate", {"Last": 10}),
            ("POST", f"{ours}/rules/simulate", {"Series": [parent], "Rules": [rule]}),
        ],
        "jobs": [("GET", f"{ours}/jobs?expand", None), ("GET", f"{ours}/jobs", None)],
        "job": [
            *(("GET", f"{ours}/jobs/{each}", None) for each in jobs.values()),
            ("DELETE", f"{ours}/jobs/{jobs['done']}", None),
        ],
        "job, to change": [
            ("POST", f"{ours}/jobs/{jobs['waiting']}/cancel", {}),
            ("POST", f"{ours}/jobs/{jobs['failed']}/resubmit", {}),
        ],
        "bulk": [
            ("GET", f"{ours}/bulk?expand", None),
            ("POST", f"{ours}/bulk", {"Query": {}, "Pipeline": "telltale", "DryRun": True}),
            ("POST", f"{ours}/bulk", {"Again": {"Pipeline": "telltale"}, "DryRun": True}),
        ],
        "bulk run": [("GET", case.run, None), ("DELETE", case.run, None)],
        "bulk run, to change": [
            *(("POST", f"{case.run}/{verb}", {}) for verb in ("resume", "retry", "discard")),
        ],
        "bulk table": [("GET", f"{case.run}/table", None)],
        "bulk table as CSV": [("GET", f"{case.run}/table.csv", None)],
        "bulk report": [("GET", f"{case.run}/report", None)],
        "bulk page": [("GET", f"{ours}/bulk.html", None)],
        "recent": [("GET", f"{ours}/recent", None)],
        "health": [("GET", f"{ours}/health", None)],
        "metrics": [("GET", f"{ours}/metrics", None)],
        "start page": [("GET", f"{ours}/", None)],
        "form page": [("GET", f"{ours}/derive.html?series={parent}", None)],
        "review page": [("GET", f"{ours}/review/{derived}", None)],
        "files of pages": [("GET", f"{ours}/app/shared/page.js", None)],
        "viewer": [("GET", "/derived-series-ohif/index.html", None)],
    }


def states(case: Case) -> dict[str, str]:
    listed = case.ask(ANNA, "GET", "/derived-series/jobs?expand").json()
    return {job["ID"]: job["State"] for job in listed}


def test_an_image_is_given_out_as_it_was_sent(case: Case) -> None:
    """In pieces, where this Orthanc's Python plugin can."""
    path = f"/series/{case.parent}/jobs/{case.jobs['with image']}/image"
    answer = case.ask(ANNA, "GET", path)
    assert answer.content == npy(np.zeros((3, 32, 24), np.int16))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert (
        "Content-Length" in answer.headers
        or case.ask(ANNA, "GET", "/derived-series/status").json()["Orthanc"]["StartStreamAnswer"]
    )


def test_every_route_has_its_probe() -> None:
    """A new route fails here, without a server, until this test asks it, too."""
    names = ("done", "failed", "running", "waiting", "with image")
    without_server = Case(
        OrthancServer(Path()), "parent", "derived", "instance", dict.fromkeys(names, "job"), "/derived-series/bulk/run"
    )
    asked = probes(without_server)
    assert set(asked) == set(ADDRESSES), "give the new route its requests in probes() of this file"
    for name, requests_of_row in asked.items():
        for _, path, _ in requests_of_row:
            assert re.fullmatch(ADDRESSES[name].pattern, path.partition("?")[0].rstrip("/")), (name, path)
        assert {method for method, _, _ in requests_of_row} == set(ADDRESSES[name].methods), name


@pytest.mark.parametrize("name", ADDRESSES)
def test_who_may_not_see_the_patient_sees_nothing_of_it_and_changes_nothing(case: Case, name: str) -> None:
    row = ADDRESSES[name]
    before, series = states(case), case.server.series_ids()
    for method, path, body in probes(case)[name]:
        answer = case.ask(EVE, method, path, body)
        if row.about is not None:
            assert row.pattern.startswith(f"/{row.about}/"), "the address names the resource"
            assert answer.status_code == 403 and answer.text == "", (method, path)
        else:
            assert [each for each in SECRETS if each in answer.text] == [], (method, path)
            assert answer.status_code < 500, answer.text
        if answer.status_code == 307:
            leads = requests.compat.urljoin(case.server.url + path, answer.headers["Location"])
            assert requests.request(method, leads, auth=EVE, json=body, timeout=60).status_code == 403
    assert (states(case), case.server.series_ids()) == (before, series)


@pytest.mark.parametrize("name", ADDRESSES)
def test_what_names_no_resource_tells_nobody_whose_it_is(case: Case, name: str) -> None:
    """Whoever asks: no user is looked up to decide what such a route tells."""
    for method, path, body in probes(case)[name]:
        if ADDRESSES[name].about is None:
            answer = case.ask(ANNA, method, path, body)
            assert [each for each in SECRETS if each in answer.text] == [], (method, path)


def test_the_lists_tell_identifiers_states_and_times(case: Case) -> None:
    listed = {job["ID"]: job for job in case.ask(EVE, "GET", "/derived-series/jobs?expand").json()}
    failed = listed[case.jobs["failed"]]
    assert failed["State"] == "Failure" and failed["ErrorDescription"] == "UserCodeError"
    assert failed["Path"] == f"/series/{case.parent}/jobs/{case.jobs['failed']}"
    assert failed["Content"]["Request"] == {"Pipeline": "telltale"} and "Error" not in failed["Content"]
    done = listed[case.jobs["done"]]
    place = {"ID": case.derived, "Path": f"/series/{case.derived}"}
    assert done["Content"]["Result"] == {**place, "Series": [{"Output": "result", **place}]}
    (recent,) = case.ask(EVE, "GET", "/derived-series/recent").json()
    assert (recent["ID"], recent["State"], recent["By"]) == (case.derived, "Accepted", "telltale")
    answer = case.ask(EVE, "POST", "/derived-series/rules/simulate", {"Series": [case.parent]}).json()
    assert answer[0]["Rules"][0]["Fires"] is False and "/rules/simulate tells why" in answer[0]["Rules"][0]["Reason"]
    refused = case.ask(EVE, "POST", "/derived-series/rules/simulate", {"Series": [case.parent], "Rules": []})
    assert refused.status_code == 400 and "/series/{id}/rules/simulate" in refused.json()["Remedy"]


def test_who_may_see_the_patient_is_answered_below_it(case: Case) -> None:
    """The last test of all: it deletes and cancels."""
    for name, requests_of_row in probes(case).items():
        for method, path, body in requests_of_row:
            answer = case.ask(ANNA, method, path, body)
            assert answer.status_code in (200, 307, 400, 404, 409, 410), (method, path, answer.text)
            if ADDRESSES[name].about == "series" and method == "GET" and name not in ("image", "jobs of a series"):
                assert answer.status_code == 200, (path, answer.text)
    failed = case.ask(ANNA, "GET", f"/series/{case.parent}/jobs/{case.jobs['failed']}")
    assert failed.status_code == 404, "it was deleted"
    end = time.monotonic() + 20
    while states(case)[case.jobs["waiting"]] != "Failure" and time.monotonic() < end:
        time.sleep(0.05)
    assert states(case)[case.jobs["waiting"]] == "Failure", "it was cancelled"
    # the old address of a job leads to the new one, with the same method
    old = f"{case.server.url}/derived-series/jobs/{case.jobs['waiting']}"
    document = requests.get(old, auth=ANNA, timeout=60).json()
    assert document["Content"]["Request"]["Parameters"] == {"Note": "confidential"}
    assert requests.post(old + "/cancel", auth=ANNA, timeout=60).status_code == 409, "it is over"
    other = f"/series/{case.derived}/jobs/{case.jobs['waiting']}"
    assert case.ask(ANNA, "GET", other).status_code == 404, "of another series"
    assert case.ask(ANNA, "DELETE", other).status_code == 404
    assert requests.delete(old, auth=ANNA, timeout=60).status_code == 200


def test_a_handler_without_its_row_is_refused() -> None:
    words = r"'secret door' has no row in the table and \['GET'\] in routes.*'status' has \['GET'\].* and no handler"
    with pytest.raises(DerivedSeriesError, match=words):
        bound({"secret door": {"GET": lambda request: None}})  # type: ignore[dict-item, return-value]
