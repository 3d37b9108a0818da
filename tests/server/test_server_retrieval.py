"""Inputs that are at another server: found there, brought here, and told; by DICOM and by DICOMweb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orthanc_server import OrthancServer, free_port
from phantoms import ct_phantom
from server_fixtures import derive, finished, settings

FILE = '''
"""What has changed since a prior study."""
from derived_series import derivation
from derived_series.pipelines import Input, NumpyGrinder, Pipeline


class CT(Input):
    required_values = {"Modality": "CT"}
    image_grinder = NumpyGrinder()


class Prior(CT):
    prior = True


class Change(Pipeline):
    """The difference to the prior study."""

    input = {"now": CT, "before": Prior}
    parent_input = "now"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Difference", "PixelByPixelSubtraction")

    def process(self, container):
        return container["now"] - container["before"]


class Perhaps(Change):
    """The same where there is a prior study, else the images as they are."""

    class OptionalPrior(Prior):
        optional = True

    input = {"now": CT, "before": OptionalPrior}

    def process(self, container):
        return super().process(container) if "before" in container else container["now"]
'''

RULE = {
    "Name": "changes",
    "Match": {"Modality": "CT", "SeriesDescription": {"Regex": "^now by rule"}},
    "Derive": {"Pipeline": "change", "Retrieve": {"before": {"From": "pacs"}}},
}


@pytest.fixture(scope="module")
def servers(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OrthancServer]]:
    """An archive, and an Orthanc with the plugin that knows it as the modality "pacs" and the DICOMweb server "web"."""
    folder = tmp_path_factory.mktemp("servers")
    http, dicom, dicom_port = free_port(), free_port(), free_port()
    plain = folder / "plain.py"
    plain.write_text("")
    archive = {
        **{"HttpPort": http, "DicomServerEnabled": True, "DicomAet": "PACS", "DicomPort": dicom},
        **{"DicomCheckCalledAet": False, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowMove": True},
        "DicomModalities": {"here": ["HERE", "127.0.0.1", dicom_port]},
    }
    changes = settings(folder / "library", RetryPause=0.1, Attempts=2, Rules=[RULE])
    (folder / "library" / "change.py").write_text(FILE)
    changes |= {
        **{"DicomServerEnabled": True, "DicomAet": "HERE", "DicomPort": dicom_port},
        **{"DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True},
        "DicomModalities": {"pacs": ["PACS", "127.0.0.1", dicom], "away": ["AWAY", "127.0.0.1", free_port()]},
        "DicomWeb": {"Servers": {"web": [f"http://127.0.0.1:{http}/dicom-web/"]}},
    }
    (folder / "archive").mkdir()
    (folder / "here").mkdir()
    with (
        OrthancServer(folder / "archive", archive, script=plain) as pacs,
        OrthancServer(folder / "here", changes) as here,
    ):
        yield [here, pacs]


@pytest.fixture
def here(servers: list[OrthancServer]) -> OrthancServer:
    for server in servers:
        server.delete_all()
    return servers[0]


@pytest.fixture
def pacs(servers: list[OrthancServer], here: OrthancServer) -> OrthancServer:
    return servers[1]


def _study(name: str, day: str, **changes: Any) -> list[Any]:
    datasets = ct_phantom(4, 12, 10, study=changes.pop("study", name)[:15], series=name)
    for dataset in datasets:
        dataset.StudyDate, dataset.SeriesDescription = day, name
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
    return datasets


def _keeps_user_data(server: OrthancServer, series: str) -> bool:
    """Whether Orthanc's jobs say what they were asked to say (from 1.12.9 on)."""
    job = server.json(f"/series/{series}/archive", "POST", json={"Asynchronous": True, "UserData": "x"})["ID"]
    return bool(server.json(f"/jobs/{job}").get("UserData") == "x")


@pytest.mark.parametrize("source", ["pacs", "web"])
def test_the_latest_prior_is_brought_from_another_server_once(
    here: OrthancServer, pacs: OrthancServer, source: str
) -> None:
    pacs.upload(_study("older", "20240101"))
    pacs.upload(_study("later", "20270101"))
    wanted = _study("prior", "20250101")
    pacs.upload(wanted)
    pacs.upload(_study("scout", "20250101", study="prior", Modality="OT"))  # the input takes CT alone
    parent = here.upload(_study("now", "20260101"))
    request = {"Pipeline": "change", "Retrieve": {"before": {"From": source}}}
    answer = derive(here, parent, **request)
    (entry,) = answer["Retrieved"]
    assert (entry["Input"], entry["From"], entry["InstancesCount"]) == ("before", source, 4)
    assert entry["SeriesInstanceUID"] == wanted[0].SeriesInstanceUID
    assert [d.PixelData for d in here.download(entry["ID"])] == [d.PixelData for d in wanted]
    provenance = here.json(f"{answer['Path']}/provenance")
    assert provenance["Retrieved"] == [entry]
    assert {each["Input"]: each["ID"] for each in provenance["Parents"]} == {"now": parent, "before": entry["ID"]}
    path = f"/series/{parent}/jobs/{answer['JobID']}"
    assert here.json(path)["Content"]["Result"]["Retrieved"] == [entry]
    assert any(source in line for line in here.json(f"{path}/log")["Lines"])
    assert len(here.json("/series")) == 3, "of other studies nothing has come"
    if source == "pacs" and _keeps_user_data(here, parent):  # jobs of the DICOMweb plugin keep none
        assert {"DerivedSeriesJob": answer["JobID"]} in [each.get("UserData") for each in here.json("/jobs?expand")]
    again = derive(here, parent, **request)
    assert "Retrieved" not in again, "it is here"
    assert here.json("/queries") == [], "no query is left"


@pytest.mark.parametrize("source", ["pacs", "web"])
def test_an_input_of_the_same_study_is_chosen_by_a_query(here: OrthancServer, pacs: OrthancServer, source: str) -> None:
    pacs.upload(_study("thin lung", "20260101", study="now"))
    pacs.upload(_study("thick lung", "20260101", study="now"))
    pacs.upload(_study("thin of another study", "20260101"))
    parent = here.upload(_study("now", "20260101"))

    def ask(**query: str) -> Any:
        asked = {"second": {"From": source, "Query": query}}
        return here.post(f"/series/{parent}/derive", json={"Pipeline": "sum", "Retrieve": asked})

    several = ask()
    assert several.status_code == 409, several.text
    assert "2 series of one study" in several.json()["Message"] and "thick lung" in several.json()["Message"]
    nothing = ask(SeriesDescription="bone*")
    assert nothing.status_code == 404 and f"{source!r} has no series" in nothing.json()["Message"]
    assert here.series_ids() == {parent}
    answer = ask(SeriesDescription="thin*")
    assert answer.status_code == 200, answer.text
    assert here.download(answer.json()["Retrieved"][0]["ID"])[0].SeriesDescription == "thin lung"


def test_what_is_partly_here_is_completed(here: OrthancServer, pacs: OrthancServer) -> None:
    prior = _study("prior", "20250101")
    pacs.upload(prior)
    here.upload(prior[:2])
    parent = here.upload(_study("now", "20260101"))
    answer = derive(here, parent, Pipeline="change", Retrieve={"before": {"From": "web"}})
    assert answer["Retrieved"][0]["InstancesCount"] == 4


@pytest.mark.parametrize("source", ["pacs", "web"])
def test_only_the_patients_own_studies_are_taken(here: OrthancServer, pacs: OrthancServer, source: str) -> None:
    pacs.upload(_study("another patient", "20250101", PatientID="PHANTOM-2"))
    pacs.upload(_study("another issuer", "20250601", IssuerOfPatientID="ELSEWHERE"))
    for number, patient in enumerate(("PHANTOM-1", "PHANTOM-*")):  # a server would take the second for a pattern
        parent = here.upload(_study(f"now {number}", "20260101", PatientID=patient))
        asked = {"Pipeline": "change", "Retrieve": {"before": {"From": source}}}
        answer = here.post(f"/series/{parent}/derive", json=asked)
        assert answer.status_code == 404, answer.text
        without = derive(here, parent, **{**asked, "Pipeline": "perhaps"})
        assert "Retrieved" not in without
        log = here.json(f"/series/{parent}/jobs/{without['JobID']}/log")["Lines"]
        assert any("it is optional" in line for line in log)
    assert len(here.json("/patients")) == 2


@pytest.mark.parametrize(
    ("retrieve", "status", "message"),
    [
        ({"before": {"From": "nowhere"}}, 404, "no server to retrieve from 'nowhere'"),
        ({"before": {"From": "pacs", "Query": {"Moodality": "CT"}}}, 400, "no tag 'Moodality'"),
        ({"before": {"From": "pacs", "Query": {"PatientID": "1"}}}, 400, "the patient is the one of the parent"),
        ({"now": {"From": "pacs"}}, 409, "the input 'now' of pipeline 'change' is the series of the URL"),
        ({"afterwards": {"From": "pacs"}}, 400, "has no input afterwards"),
        ({"before": {"From": "away"}}, 502, "/modalities/away/query answered 500"),
    ],
)
def test_what_cannot_be_retrieved_is_said(
    here: OrthancServer, retrieve: dict[str, Any], status: int, message: str
) -> None:
    parent = here.upload(_study("now", "20260101"))
    answer = here.post(f"/series/{parent}/derive", json={"Pipeline": "change", "Retrieve": retrieve})
    assert (answer.status_code, message in answer.json()["Message"]) == (status, True), answer.text
    assert here.series_ids() == {parent}


def test_a_dry_run_brings_nothing(here: OrthancServer, pacs: OrthancServer) -> None:
    pacs.upload(_study("prior", "20250101"))
    parent = here.upload(_study("now", "20260101"))
    request = {"Pipeline": "change", "Retrieve": {"before": {"From": "pacs"}}}
    answer = here.post(f"/series/{parent}/derive", json={**request, "DryRun": True})
    assert answer.status_code == 409 and "a dry run retrieves nothing" in answer.json()["Message"]
    assert here.series_ids() == {parent}


def test_a_rule_retrieves_and_what_it_brings_fires_no_rule(here: OrthancServer, pacs: OrthancServer) -> None:
    for name, day in (("now by rule, before", "20250101"), ("now by rule, long before", "20240101")):
        pacs.upload(_study(name, day))
    parent = here.upload(_study("now by rule", "20260101"))
    while not (jobs := here.json(f"/series/{parent}/jobs")):
        assert here.json(f"/series/{parent}")
    done = finished(here, jobs[0])
    assert done["State"] == "Success"
    (entry,) = here.json(done["Path"])["Content"]["Result"]["Retrieved"]
    while not here.json(f"/series/{entry['ID']}")["IsStable"]:
        assert here.json(f"/series/{parent}/jobs") == jobs
    outcome = here.json(f"/series/{entry['ID']}/rules/simulate", "POST", json={})["Rules"]
    assert outcome == [
        {"Rule": "changes", "Fires": False, "Reason": "it was retrieved as an input of another derivation"}
    ]
    assert here.json(f"/series/{entry['ID']}/jobs") == []
