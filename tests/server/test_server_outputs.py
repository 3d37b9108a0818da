"""Several series of one job on a real Orthanc: all are there or none, whatever dies; each knows its siblings."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import StartOrthanc
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_audit import workers
from server_fixtures import derive, finished, job, settings, submit
from test_server_destinations import receiver, with_destinations
from waiting import soon

#: As in test_crash.py: ``make test-crash`` has more of them, at other moments.
KILLS = int(os.environ.get("CRASH_KILLS", "6"))
SEED = int(os.environ.get("CRASH_SEED", "7"))

OUTPUTS = '''
"""A mask and two images, slowly stored, and what goes wrong on the way."""
import logging
import sys
import tempfile
import time

import numpy as np

from derived_series import NumpyFactory, derivation
from derived_series.pipelines import Output, Parameters, Pipeline, Value


class Slow(NumpyFactory):
    """Takes a while."""

    def arrange(self, header, image):
        time.sleep(0.1)
        return super().arrange(header, image)


def talk(container):
    """Say all that can be said, and wait until somebody has heard of it."""
    container.progress(0.4, "fold 2 of 5")
    container.log("loaded the model")
    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.getLogger("mine").warning("to a logger")
    assert str(container.folder) == tempfile.gettempdir() and not list(container.folder.iterdir())
    (container.folder / "left behind").write_text("of a patient")
    print("in", container.folder)
    time.sleep(2)
    container.progress(0.9)


class Settings(Parameters):
    How: str = ""
    Offset: int = 0


class Trio(Pipeline):
    """A mask, and the parent's own values twice."""

    parameters = Settings
    outputs = {
        "mask": Output("segmentation"),
        "same": Output(factory=Slow()),
        "maybe": Output(factory=Slow(), optional=True),
    }

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Something", "Smoothing")

    def process(self, container):
        voxels = container["parent"].voxels() + container.parameters.Offset
        how = container.parameters.How
        made = {"mask": (voxels > 0).astype(np.uint8), "same": voxels, "maybe": voxels}
        if how == "talk":
            talk(container)
        if how == "without":
            del made["maybe"]
        if how == "nan":
            made["maybe"] = voxels * np.nan
        return {**made, "values": {"volume": Value(12.5, "ml"), "count": 3}}
'''


def with_outputs(folder: Path, **keys: Any) -> dict[str, Any]:
    changes = settings(folder / "library", RetryPause=0.05, **keys)
    (folder / "library" / "trio.py").write_text(OUTPUTS)
    return changes


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    with OrthancServer(folder, with_outputs(folder)) as orthanc:
        yield orthanc


@pytest.fixture
def ct(server: OrthancServer) -> str:
    server.delete_all()
    return server.upload(ct_phantom(slices=4))


def trio(**more: Any) -> dict[str, Any]:
    return {"Pipeline": "trio", **more}


def test_the_answer_lists_the_series_and_the_values(server: OrthancServer, ct: str) -> None:
    answer = derive(server, ct, **trio())
    listed = answer["Series"]
    assert [each["Output"] for each in listed] == ["mask", "same", "maybe"]
    assert {each["ID"] for each in listed} == server.series_ids() - {ct}
    assert [each["InstancesCount"] for each in listed] == [1, 4, 4] and answer["InstancesCount"] == 9
    assert "ID" not in answer and answer["ParentSeries"] == ct
    assert answer["Values"] == {"volume": {"Value": 12.5, "Unit": "ml"}, "count": {"Value": 3, "Unit": "1"}}
    tags = [server.json(each["Path"])["MainDicomTags"] for each in listed]
    assert [each["SeriesInstanceUID"] for each in listed] == [each["SeriesInstanceUID"] for each in tags]
    assert len({each["SeriesNumber"] for each in tags}) == 3
    assert [each["SeriesDescription"].split()[-1] for each in tags] == ["(mask)", "(same)", "(maybe)"]
    for each in listed:
        provenance = server.json(f"{each['Path']}/provenance")
        assert provenance["Output"] == each["Output"] and provenance["Job"] == answer["JobID"]
        assert provenance["Values"] == answer["Values"]
        assert [(s["Output"], s["ID"]) for s in provenance["Series"]] == [(s["Output"], s["ID"]) for s in listed]
    assert job(server, answer["JobID"])["Content"]["Result"]["Series"][1]["ID"] == listed[1]["ID"]
    recent = server.json("/derived-series/recent")
    assert {each["ID"]: each["Output"] for each in recent} == {each["ID"]: each["Output"] for each in listed}


def test_one_series_has_the_keys_that_it_had_and_the_list(server: OrthancServer, ct: str) -> None:
    answer = derive(server, ct, Pipeline="plain")
    (only,) = answer["Series"]
    assert only["Output"] == "result"
    for key in ("ID", "Path", "SeriesInstanceUID", "InstancesCount", "Warnings"):
        assert answer[key] == only[key]
    assert answer["Type"] == "Series" and "Series" not in server.json(f"{answer['Path']}/provenance")


def test_an_optional_output_may_be_missing_and_a_dry_run_shows_each(server: OrthancServer, ct: str) -> None:
    answer = derive(server, ct, **trio(Parameters={"How": "without"}))
    assert [each["Output"] for each in answer["Series"]] == ["mask", "same"] and len(server.series_ids()) == 3
    dry = derive(server, ct, **trio(DryRun=True, Preview=True))
    assert [each["Output"] for each in dry["Series"]] == ["mask", "same", "maybe"] and len(server.series_ids()) == 3
    assert all(each["Header"] and each["Preview"] for each in dry["Series"])


def test_an_output_that_cannot_be_built_leaves_none_of_them(server: OrthancServer, ct: str) -> None:
    answer = server.post(f"/series/{ct}/derive", json=trio(Parameters={"How": "nan"}))
    assert answer.status_code == 422 and "NaN" in answer.json()["Message"]
    assert server.series_ids() == {ct}


def test_an_output_that_orthanc_does_not_keep_leaves_none_of_them(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    (tmp_path / "drop.lua").write_text(
        "function ReceivedInstanceFilter(dicom, origin)\n"
        "  return string.find(dicom['SeriesDescription'] or '', '(maybe)', 1, true) == nil\nend\n"
    )
    server = start_orthanc({**with_outputs(tmp_path, Attempts=1), "LuaScripts": [str(tmp_path / "drop.lua")]})
    ct = server.upload(ct_phantom(slices=4))
    answer = server.post(f"/series/{ct}/derive", json=trio())
    assert answer.status_code in (500, 502, 503, 507), answer.text
    assert server.series_ids() == {ct}, "the mask and the image were stored before, and are gone"


def test_reuse_finds_all_and_replace_takes_the_place_of_all(server: OrthancServer, ct: str) -> None:
    first = derive(server, ct, **trio(IfExists="Reuse"))
    again = derive(server, ct, **trio(IfExists="Reuse"))
    assert again["JobID"] == first["JobID"]
    server.delete(first["Series"][2]["Path"])
    other = derive(server, ct, **trio(IfExists="Reuse"))
    assert other["JobID"] != first["JobID"], "one of them was gone"
    server.delete_all()
    ct = server.upload(ct_phantom(slices=4))
    former = derive(server, ct, **trio())
    kept = former["Series"][1]["ID"]
    server.json(f"/series/{kept}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    last = derive(server, ct, **trio(IfExists="Replace", Parameters={"Offset": 1}))
    assert server.series_ids() == {ct, kept, *(each["ID"] for each in last["Series"])}
    assert any(kept in warning for warning in last["Warnings"])


def test_the_verdict_on_one_leaves_the_others_and_all_can_be_judged_at_once(server: OrthancServer, ct: str) -> None:
    ids = [each["ID"] for each in derive(server, ct, **trio())["Series"]]
    anna = {"User": "Anna"}
    rejected = server.json(f"/series/{ids[0]}/review", "POST", json={"Verdict": "Reject", "Code": "111219", **anna})
    assert rejected["State"] == "Rejected"
    states = {each["ID"]: each["State"] for each in rejected["Siblings"]}
    assert states == {ids[0]: "Rejected", ids[1]: "Unreviewed", ids[2]: "Unreviewed"}
    assert [each["Output"] for each in rejected["Siblings"]] == ["mask", "same", "maybe"]
    accepted = server.json(f"/series/{ids[1]}/review", "POST", json={"Verdict": "Accept", "All": True, **anna})
    assert {each["ID"]: each["State"] for each in accepted["Siblings"]} == {
        ids[0]: "Rejected",  # that is final
        ids[1]: "Accepted",
        ids[2]: "Accepted",
    }
    ids = [each["ID"] for each in derive(server, ct, **trio())["Series"]]
    everything = {"Verdict": "Reject", "Code": "111219", "All": True, **anna}
    verdict = server.json(f"/series/{ids[2]}/review", "POST", json=everything)
    assert [each["State"] for each in verdict["Siblings"]] == ["Rejected"] * 3
    notes = [server.json(f"/series/{each}/review")["KeyObjects"]["ID"] for each in ids]
    assert len(set(notes)) == 3


def test_held_siblings_are_sent_one_by_one_as_they_are_accepted(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    changes, http, dicom = with_destinations(tmp_path, HoldUntilAccepted=True)
    (tmp_path / "library" / "trio.py").write_text(OUTPUTS)
    sender, pacs = start_orthanc(changes), receiver(start_orthanc, http, dicom)
    parent = sender.upload(ct_phantom(slices=3))
    answer = sender.json(f"/series/{parent}/derive", "POST", json=trio(Destinations=["web"]))
    ids = [each["ID"] for each in answer["Series"]]
    assert answer["Destinations"] == {"web": "Held"} and pacs.series_ids() == set()
    for verdict, series, there in (("Accept", 1, {1}), ("Reject", 0, {1}), ("Accept", 2, {1, 2})):
        body = {"Verdict": verdict, "User": "Anna", "Code": "111219" if verdict == "Reject" else None}
        sender.json(f"/series/{ids[series]}/review", "POST", json={k: v for k, v in body.items() if v})
        end = time.monotonic() + 20
        while pacs.series_ids() != {ids[k] for k in there} and time.monotonic() < end:
            time.sleep(0.05)
        assert pacs.series_ids() == {ids[k] for k in there}
        finished(sender, answer["JobID"])
    series = job(sender, answer["JobID"])
    whole = sender.json(series["Path"])["Content"]["Result"]
    assert [each["Destinations"]["web"] for each in whole["Series"]] == ["Rejected", "Success", "Success"]


def test_what_a_pipeline_says_is_heard_while_it_runs(server: OrthancServer, ct: str) -> None:
    mine = submit(server, ct, **trio(Parameters={"How": "talk"}))
    where, seen = f"/series/{ct}/jobs/{mine}", []
    while (document := server.json(where))["State"] not in ("Success", "Failure"):
        if "Text" in document["Content"]:
            seen.append((document["Content"]["Phase"], document["Progress"], document["Content"]["Text"]))
        time.sleep(0.05)
    assert ("Processing", 50, "fold 2 of 5") in seen
    log = server.json(f"{where}/log")
    lines = [line.split(" ", 1)[1] for line in log["Lines"]]
    assert lines[:4] == ["INFO trio: loaded the model", "to stdout", "to stderr", "WARNING mine: to a logger"]
    assert not Path(lines[4].removeprefix("in ")).exists()
    assert server.json(f"{where}/log?since={log['Next']}") == {"Lines": [], "Next": log["Next"]}
    soon(lambda: f"job {mine}: to stdout" in server.log())
    other = finished(server, submit(server, ct, Pipeline="plain"))["ID"]
    assert server.json(f"/series/{ct}/jobs/{other}/log") == {"Lines": [], "Next": 0}
    assert server.get(f"/series/{'-'.join(['0' * 8] * 5)}/jobs/{mine}/log").status_code == 404
    server.json(f"/derived-series/jobs/{mine}", "DELETE")
    assert not [path for path in server.folder.rglob(f"{mine}*")]


def complete(server: OrthancServer, parent: str, slices: int) -> bool:
    """Whether all series of one job are there; False for none of them. Anything between fails."""
    derived = server.series_ids() - {parent}
    counts = sorted(len(server.json(f"/series/{each}")["Instances"]) for each in derived)
    assert counts in ([], [1, slices, slices]), counts
    return bool(derived)


def test_all_are_there_or_none_whatever_is_killed(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """Workers are killed, jobs cancelled and Orthanc itself is killed, at all moments."""
    server, slices = start_orthanc(with_outputs(tmp_path, Workers=1)), 30
    parent = server.upload(ct_phantom(slices=slices, rows=96, columns=96, noise=0))
    derive(server, parent, **trio())  # how long it takes where nothing dies
    chance, kinds = random.Random(SEED), ["worker"] * 6 + ["cancel"] * 3 + ["orthanc"]
    chance.shuffle(kinds)
    for kind in itertools.islice(itertools.cycle(kinds), KILLS):
        for each in server.series_ids() - {parent}:
            server.delete(f"/series/{each}")
        mine = submit(server, parent, **trio())
        end, wanted = time.monotonic() + 10, slices + chance.randint(0, 2 * slices + 1)
        while server.json("/statistics")["CountInstances"] < wanted and time.monotonic() < end:
            time.sleep(0.002)
        if kind == "cancel":
            server.post(f"/derived-series/jobs/{mine}/cancel")
        elif kind == "worker":
            for pid in workers(server):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        else:
            server.kill()
            server.start()
        state = finished(server, mine)["State"]
        if state == "Failure":  # what Orthanc still had in hand is removed soon after
            end = time.monotonic() + 10
            while server.series_ids() != {parent} and time.monotonic() < end:
                time.sleep(0.05)
        assert complete(server, parent, slices) == (state == "Success"), kind
        assert state == "Success" or kind == "cancel"
