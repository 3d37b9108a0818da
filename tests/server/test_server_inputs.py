"""Inputs of prior studies and stored segmentations on a real Orthanc; what Reuse compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive, finished, npy, settings, submit, until

FILE = '''
"""What has changed, and what a segmentation covers."""
import time

import numpy as np

from derived_series import derivation
from derived_series.pipelines import Algorithm, Input, NumpyGrinder, Parameters, Pipeline, SegmentationGrinder


class CT(Input):
    required_values = {"Modality": "CT"}
    image_grinder = NumpyGrinder()


class Prior(CT):
    prior = True


class Mask(Input):
    required_values = {"Modality": "SEG"}
    image_grinder = SegmentationGrinder()
    optional = True


class Settings(Parameters):
    Seconds: float = 0


class Change(Pipeline):
    """The difference to the prior study, within a mask where one is given."""

    input = {"now": CT, "before": Prior, "mask": Mask}
    parent_input = "now"
    parameters = Settings
    algorithm = Algorithm("Subtraction", "1", "us", files=["weights.txt"])

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Difference", "PixelByPixelSubtraction")

    def process(self, container):
        change = container["now"] - container["before"]
        container.progress(0.1, "has the prior")
        time.sleep(container.parameters.Seconds)
        if "mask" in container:
            labels = container["mask"].on(container.parents["now"])
            assert sorted(container["mask"].labels) == [1, 2]
            change = np.where(labels == 2, change, 0)
        return change
'''


RULE = {
    "Name": "changes",
    "Match": {"SeriesDescription": "now, by rule"},
    "Priors": {"before": {"SeriesDescription": {"Regex": "^prior"}}},
    "Derive": {"Pipeline": "change"},
}


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    changes = settings(folder / "library", Rules=[RULE])
    (folder / "library" / "change.py").write_text(FILE)
    (folder / "library" / "weights.txt").write_text("one")
    with OrthancServer(folder, changes) as orthanc:
        yield orthanc


def _study(name: str, day: str, **changes: Any) -> list[Any]:
    datasets = ct_phantom(4, 12, 10, study=name, series=name, **changes)
    for dataset in datasets:
        dataset.StudyDate = day
    return datasets


def test_the_latest_prior_is_found_or_the_one_that_the_request_names(server: OrthancServer) -> None:
    server.delete_all()
    older = server.upload(_study("older", "20240101"))
    prior = server.upload(_study("prior", "20250101"))
    server.upload(_study("later", "20270101"))
    parent = server.upload(_study("now", "20260101"))
    for request, wanted in (({}, prior), ({"Inputs": {"before": older}}, older)):
        answer = derive(server, parent, Pipeline="change", **request)
        provenance = server.json(f"{answer['Path']}/provenance")
        assert {each["Input"]: each["ID"] for each in provenance["Parents"]} == {"now": parent, "before": wanted}
        assert provenance["ParentSeries"] == parent
        first = server.download(answer["ID"])[0]
        (study,) = first.StudiesContainingOtherReferencedInstancesSequence
        assert study.StudyInstanceUID == server.json(f"/series/{wanted}/study")["MainDicomTags"]["StudyInstanceUID"]
        sources = server.json(f"{answer['Path']}/sources")
        assert [each["Input"] for each in sources["Parents"]] == ["now", "before"]


def test_without_a_prior_the_request_is_refused(server: OrthancServer) -> None:
    server.delete_all()
    parent = server.upload(_study("now", "20260101"))
    server.upload(_study("later", "20270101"))
    answer = server.post(f"/series/{parent}/derive", json={"Pipeline": "change"})
    assert answer.status_code == 400 and "has the inputs now, before, mask" in answer.json()["Message"]


def test_a_segmentation_of_several_segments_is_an_input(server: OrthancServer) -> None:
    server.delete_all()
    server.upload(_study("prior", "20250101"))
    parent = server.upload(_study("now", "20260101"))
    labels = np.zeros((4, 12, 10), np.uint8)
    labels[1, 2:5, 3:6], labels[2, 6:9, 1:4] = 1, 2
    mask = server.json(f"/series/{parent}/derive/segmentation/numpy", "POST", data=npy(labels))["ID"]
    answer = derive(server, parent, Pipeline="change", Inputs={"mask": mask})
    assert answer["InstancesCount"] == 4
    provenance = server.json(f"{answer['Path']}/provenance")
    assert {each["Input"] for each in provenance["Parents"]} == {"now", "before", "mask"}
    assert (
        provenance["Code"]["Algorithm"]["Name"] == "Subtraction"
        and "weights.txt" in provenance["Code"]["Algorithm"]["Files"]
    )


def test_changed_weights_and_another_prior_are_another_derivation(server: OrthancServer) -> None:
    server.delete_all()
    server.upload(_study("prior", "20250101"))
    parent = server.upload(_study("now", "20260101"))
    first = derive(server, parent, Pipeline="change", IfExists="Reuse")
    assert derive(server, parent, Pipeline="change", IfExists="Reuse")["JobID"] == first["JobID"]
    server.upload(_study("between", "20250601"))
    newer = derive(server, parent, Pipeline="change", IfExists="Reuse")
    assert newer["JobID"] != first["JobID"], "there is another prior now"
    assert derive(server, parent, Pipeline="change", IfExists="Reuse")["JobID"] == newer["JobID"]
    first = newer
    Path(server.folder / "library" / "weights.txt").write_text("two")
    server.restart()
    assert derive(server, parent, Pipeline="change", IfExists="Reuse")["JobID"] != first["JobID"]


def test_a_prior_that_is_deleted_meanwhile_leaves_nothing(server: OrthancServer) -> None:
    server.delete_all()
    prior = server.upload(_study("prior", "20250101"))
    parent = server.upload(_study("now", "20260101"))
    mine = submit(server, parent, Pipeline="change", Parameters={"Seconds": 3})
    until(server, mine, {"Running"})
    where = f"/series/{parent}/jobs/{mine}"
    while server.json(where)["Content"].get("Text") != "has the prior":
        assert server.json(where)["State"] == "Running"
    server.json(f"/series/{prior}", "DELETE")
    job = server.json(finished(server, mine)["Path"])
    assert job["State"] == "Failure" and "the input 'before' was deleted" in job["ErrorDescription"]
    assert server.series_ids() == {parent}


def _by_rule(server: OrthancServer, series: str, count: int) -> Any:
    """The last of so many jobs on a series, once it is over."""
    while len(jobs := server.json(f"/series/{series}/jobs")) < count:
        assert server.json(f"/series/{series}")
    return finished(server, jobs[-1])


def test_a_rule_names_the_prior_and_fires_again_for_a_later_one(server: OrthancServer) -> None:
    server.delete_all()

    def upload(name: str, day: str) -> str:
        datasets = _study(name, day)
        for dataset in datasets:
            dataset.SeriesDescription = name
        return server.upload(datasets)

    parent = upload("now, by rule", "20260101")
    while not server.json(f"/series/{parent}")["IsStable"]:
        assert server.json(f"/series/{parent}/jobs") == []
    (outcome,) = server.json(f"/series/{parent}/rules/simulate", "POST", json={})["Rules"]
    assert outcome["Reason"] == "no study before has a stable series for before"
    first = upload("prior", "20240101")
    jobs = [_by_rule(server, parent, 1)]
    upload("another", "20250601")
    second = upload("prior, later", "20250101")
    jobs.append(_by_rule(server, parent, 2))
    series = [each["Content"]["Result"]["ID"] for each in jobs]
    assert server.series_ids() & {*series} == {series[1]}, "the second is in the place of the first"
    provenance = server.json(f"/series/{series[1]}/provenance")
    assert {each["Input"]: each["ID"] for each in provenance["Parents"]} == {"now": parent, "before": second}
    fired = [job["Content"]["Request"]["Inputs"] for job in server.json(f"/series/{parent}/jobs?expand")]
    assert fired == [{"before": first}, {"before": second}]
    (known,) = server.json("/derived-series/rules")
    assert (known["Fired"], known["Problems"]) == (2, [])
