"""Runs over many series on a real Orthanc: through a crash, made again by a new version, and commissioned."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from orthanc_server import OrthancServer
from phantoms import ct_phantom, mr_phantom
from server_fixtures import derive, settings

#: Version 2 differs a little, and of one patient much.
GRADED = '''
"""Values of a CT, in one version or another."""
import time

import numpy as np

from derived_series import derivation
from derived_series.pipelines import Input, Parameters, Pipeline


class CT(Input):
    required_values = {{"Modality": "CT"}}


class Seconds(Parameters):
    Seconds: float = 0.0


class Graded(Pipeline):
    input = {{"image": CT}}
    parameters = Seconds

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("graded", "Smoothing")

    def process(self, container):
        time.sleep(container.parameters.Seconds)
        series = container["image"]
        values = series.voxels() + {version}
        return values[:, ::-1] if {version} == 2 and series.pivot.PatientID == "P1" else values
'''
MASKED = '''
"""Bone of a CT."""
from derived_series import Segment, segments
from derived_series.pipelines import Input, Parameters, Pipeline


class Threshold(Parameters):
    HU: float = 200.0


class Masked(Pipeline):
    input = {"image": Input}
    parameters = Threshold

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["segmentation"] + segments(Segment(1, "Bone", "Bone"))

    def process(self, container):
        return container["image"].voxels() > container.parameters.HU
'''
BULK = "/derived-series/bulk"
EVERY_CT = {"Query": {"Level": "Series", "Query": {"PatientID": "P*"}}}


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("bulk")
    changes = settings(folder / "library", Workers=2)
    (folder / "library" / "graded.py").write_text(GRADED.format(version=1))
    (folder / "library" / "masked.py").write_text(MASKED)
    with OrthancServer(folder, changes) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def parents(server: OrthancServer) -> list[str]:
    """Four CT series, each of another patient, and an MR series."""
    cts = [server.upload(ct_phantom(3, patient_id=f"P{index}", study=str(index))) for index in range(1, 5)]
    return [*cts, server.upload(mr_phantom(3, patient_id="P5", study="5"))]


def begun(server: OrthancServer, **request: Any) -> str:
    return str(server.json(BULK, "POST", json=request)["Path"])


def in_state(server: OrthancServer, path: str, state: str, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while (run := server.json(path))["State"] != state:
        assert time.monotonic() < end, run
        time.sleep(0.1)
    return run


def derived_of(server: OrthancServer, parents: list[str]) -> Counter[str]:
    """How many series were derived from each parent by the pipeline."""
    counts: Counter[str] = Counter()
    for parent in parents:
        derived = server.json(f"/series/{parent}/derived")
        counts[parent] = sum(each["Provenance"]["Pipeline"] == "graded" for each in derived)
    return counts


def test_a_run_loses_and_doubles_nothing_when_orthanc_is_killed(server: OrthancServer, parents: list[str]) -> None:
    dry = server.json(BULK, "POST", json={**EVERY_CT, "Pipeline": "graded", "DryRun": True})
    would = {each["Series"]: each for each in dry["Members"]}
    assert [would[parent]["Runs"] for parent in parents] == [True] * 4 + [False]
    assert would[parents[4]]["Reason"] == "the input 'image' does not take it, which wants Modality (0008,0060) 'CT'"
    path = begun(server, **EVERY_CT, Pipeline="graded", Parameters={"Seconds": 0.4}, Name="first")
    end = time.monotonic() + 60
    while not server.json(path)["Counts"]["Success"]:
        assert time.monotonic() < end, server.json(path)
        time.sleep(0.05)
    server.kill()
    server.start()
    run = in_state(server, path, "Done")
    assert run["Counts"]["Success"] == 4 and run["Counts"]["Skipped"] == 1 and run["Series"] == 5
    assert derived_of(server, parents) == dict.fromkeys(parents[:4], 1) | {parents[4]: 0}
    table = server.get(f"{path}/table.csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    rows = {row["Series"]: row for row in csv.DictReader(io.StringIO(table.text, newline=""))}
    assert [rows[parent]["State"] for parent in parents] == ["Success"] * 4 + ["Skipped"]
    (provenance,) = (server.json(f"/series/{row['Derived']}/metadata/4300") for row in [rows[parents[0]]])
    assert provenance["By"]["Bulk"] == run["ID"]
    again = begun(server, **EVERY_CT, Pipeline="graded", Parameters={"Seconds": 0.4})
    assert in_state(server, again, "Done")["Counts"]["Success"] == 4
    assert sum(derived_of(server, parents).values()) == 4, "they were there already"


def test_a_new_version_makes_them_again_and_replaces_what_is_decided(server: OrthancServer, parents: list[str]) -> None:
    first = begun(server, **EVERY_CT, Pipeline="graded", Parameters={"Seconds": 0.4})
    in_state(server, first, "Done")  # of the test before, where that has run
    former = {parent: server.json(f"/series/{parent}/derived")[0]["ID"] for parent in parents[:4]}
    server.json(f"/series/{former[parents[1]]}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    (server.folder / "library" / "graded.py").write_text(GRADED.format(version=2))
    server.restart()
    path = begun(server, Again={"Pipeline": "graded"}, Limits={"Correlation": 0.999, "LargestDifference": 1.0})
    run = in_state(server, path, "Done")
    assert run["Compared"] == {"Agree": 3, "Disagree": 1}, server.json(f"{path}/table")
    rows = {row["Series"]: row for row in server.json(f"{path}/table")["Members"]}
    for parent in parents[1:4]:
        assert rows[parent]["LargestDifference"] == pytest.approx(1.0) and rows[parent]["Correlation"] > 0.9999
    assert rows[parents[0]]["Agrees"] is False and "correlation" in rows[parents[0]]["Disagreement"]
    assert set(former.values()) <= server.series_ids(), "nothing is replaced before it is decided"
    assert server.json(f"{path}/replace", "POST", json={"Agreeing": True}) == {"Count": 3}
    number = rows[parents[0]]["Number"]
    assert server.json(f"{path}/discard", "POST", json={"Members": [number]}) == {"Count": 1}
    decisions = decided(server, path)
    assert decisions == dict.fromkeys(parents[2:4], "Replaced") | {parents[0]: "Discarded", parents[1]: "Kept"}
    there = server.series_ids()
    assert {former[parents[0]], former[parents[1]]} <= there and there.isdisjoint(former[each] for each in parents[2:4])
    assert rows[parents[0]]["Derived"][0] not in there and rows[parents[1]]["Derived"][0] in there
    assert derived_of(server, parents) == dict(zip(parents, [1, 2, 1, 1, 0], strict=True))


def decided(server: OrthancServer, path: str) -> dict[str, str]:
    """What was done with each series, once it is done."""
    end = time.monotonic() + 30
    while True:
        rows = server.json(f"{path}/table")["Members"]
        decisions = {row["Series"]: row["Decision"] for row in rows if row["Decision"]}
        if not set(decisions.values()) & {"Replace", "Discard"}:
            return decisions
        assert time.monotonic() < end, decisions
        time.sleep(0.05)


def test_a_version_is_commissioned_against_references_with_a_report_to_keep(
    server: OrthancServer, parents: list[str]
) -> None:
    references = [derive(server, parent, Pipeline="masked")["ID"] for parent in parents[:2]]
    pairs = [{"Parent": parent, "Reference": reference} for parent, reference in zip(parents, references, strict=False)]
    same = begun(server, Compare={"Pairs": pairs}, Pipeline="masked")
    assert in_state(server, same, "Done")["Compared"] == {"Agree": 2, "Disagree": 0}
    wrong = [*pairs, {"Parent": parents[2], "Reference": references[0]}]
    other = begun(server, Compare={"Pairs": wrong}, Pipeline="masked", Parameters={"HU": 800}, Limits={"Dice": 0.999})
    run = in_state(server, other, "Done")
    rows = server.json(f"{other}/table")["Members"]
    assert [row["State"] for row in rows] == ["Success", "Success", "Skipped"]
    assert rows[2]["Reason"] == "the reference is of another patient than the parent"
    assert all(0 < row["Dice"] < 0.999 and row["Agrees"] is False for row in rows[:2])
    report = server.get(run["Report"])
    assert (
        report.headers["Content-Type"].startswith("text/html") and "attachment" in report.headers["Content-Disposition"]
    )
    assert "FAILED: 0 of 3" in report.text and run["Versions"]["Code"] in report.text and references[0] in report.text
    assert f"Dice by label: 1 {rows[0]['Dice']:.4f}" in report.text
    assert "PASSED: 2 of 2" in server.get(f"{same}/report").text
    server.json(other, "DELETE")
    assert server.get(f"{other}/report").text == report.text, "it is to be kept"


def test_other_inputs_are_the_one_series_of_the_study_that_is_taken(server: OrthancServer) -> None:
    two = [server.upload(ct_phantom(3, patient_id="Q1", study="6", series=f"s{each}")) for each in (1, 2)]
    three = [server.upload(ct_phantom(3, patient_id="Q2", study="7", series=f"t{each}")) for each in (1, 2, 3)]
    alone = server.upload(ct_phantom(3, patient_id="Q3", study="8"))
    path = begun(server, Resources=[*two, *three, alone], Pipeline="sum")
    in_state(server, path, "Done")
    rows = {row["Series"]: row for row in server.json(f"{path}/table")["Members"]}
    for first, second in (two, reversed(two)):  # what is derived from the one is not taken for the other
        provenance = server.json(f"/series/{rows[first]['Derived'][0]}/metadata/4300")
        assert {each["Input"]: each["ID"] for each in provenance["Parents"]} == {"first": first, "second": second}
    assert {rows[each]["Reason"] for each in three} == {
        "2 series of its study are taken as the input 'second': derive it by itself",
    }
    assert rows[alone]["Reason"] == "no other series of its study is taken as the input 'second'"


def test_what_was_accepted_is_a_reference_too(server: OrthancServer, parents: list[str]) -> None:
    accepted, other = (derive(server, parents[2], Pipeline="masked")["ID"] for _ in range(2))
    server.json(f"/series/{accepted}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    path = begun(server, Compare={"Accepted": "masked"}, Pipeline="masked")
    in_state(server, path, "Done")
    (row,) = server.json(f"{path}/table")["Members"]
    assert row["Series"] == parents[2] and row["Reference"] == [accepted] != [other] and row["Dice"] == 1
