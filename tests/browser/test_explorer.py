"""The button in Orthanc Explorer, the form it opens, and the status page: a real browser on a real Orthanc."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from orthanc_server import OrthancServer
from phantoms import ct_phantom, mr_phantom
from screenshots import save, takes_a_picture
from server_fixtures import derive, finished, settings, submit, until

HOSTILE = ['<script>alert("1")</script>', '"><img src=x onerror=alert(1)>']
FORMS = '''
"""A pipeline with a parameter of each kind, one of which only the server can judge."""
from enum import Enum
from typing import Literal

from pydantic import Field, field_validator

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Kinds(Enum):
    MEAN = "mean"
    MAXIMUM = "maximum"


class Everything(Parameters):
    Count: int = Field(default=3, ge=1, le=9, description="Odd, for the middle to be one")
    Factor: float = Field(lt=10)
    Label: str = Field(default="x", max_length=5)
    Invert: bool = False
    Kind: Kinds = Kinds.MEAN
    Axis: Literal["row", "column"] = "column"
    Limit: float | None = None
    Weights: list[float] = [1.0]

    @field_validator("Count")
    @classmethod
    def odd(cls, value):
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value


class Forms(Pipeline):
    """Every kind of parameter."""

    parameters = Everything

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation(repr(parameters.model_dump(mode="json")), "Smoothing")

    def process(self, container):
        return container["parent"].voxels()
'''


TALKATIVE = f"""
import time

from derived_series import derivation
from derived_series.pipelines import Pipeline


class Talkative(Pipeline):
    '''Says what it is at.'''

    def prepare(self):
        self.model = "loaded once"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Nothing", "Smoothing")

    def process(self, container):
        container.progress(0.5, "half of it")
        print({HOSTILE[0]!r})
        time.sleep(3)
        return container["parent"].voxels()


class Hopeless(Talkative):
    '''Says what it is at, and fails.'''

    def process(self, container):
        print("it begins")
        raise ValueError("the moon is in the wrong phase")
"""


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("orthanc")
    changes = settings(folder / "library")
    (folder / "library" / "forms.py").write_text(FORMS)
    (folder / "library" / "talkative.py").write_text(TALKATIVE)
    changes["DerivedSeries"]["Rules"] = [
        {"Name": "never", "Match": {"Modality": "XX"}, "Derive": {"Pipeline": "gaussian_smoothing"}},
        {
            "Name": "whole",
            "Match": {"Modality": "CT"},
            "WaitFor": {"Series": {"pet": {"Modality": "PT"}}, "Seconds": 3600},
            "Derive": {"Pipeline": "gaussian_smoothing"},
        },
        {"Name": "far", "Match": {"Derived": "nothing"}, "SendTo": ["pacs"]},
    ]
    with OrthancServer(folder, changes) as server:
        yield server


def empty(server: OrthancServer) -> None:
    """Delete all series and what is remembered of jobs: the status page would ask for series that are gone."""
    for job in server.json("/derived-series/jobs"):
        server.delete(f"/derived-series/jobs/{job}")
    server.delete_all()


@pytest.fixture
def ct(server: OrthancServer) -> str:
    empty(server)
    return server.upload(ct_phantom(slices=5))


def open_form(page: Page, server: OrthancServer, series: str, pipeline: str) -> None:
    page.goto(f"{server.url}/derived-series/derive.html?series={series}")
    page.get_by_label(pipeline, exact=True).check()


def described(server: OrthancServer, link: str | None) -> str:
    """The DerivationDescription of the series that a link of the page leads to."""
    assert link is not None
    datasets = server.download(re.split(r"[/=]", link)[-1])
    return str(datasets[0].DerivationDescription)


def test_from_orthanc_explorer_to_a_derived_series(page: Page, server: OrthancServer, ct: str) -> None:
    page.goto(f"{server.url}/app/explorer.html#series?uuid={ct}")
    page.locator("#series-derive").click()
    page.wait_for_url("**/derived-series/derive.html?series=*")
    expect(page.locator("#parent")).to_contain_text("Phantom Head (PHANTOM-1): 3 · CT · Head 2.5 H31s, 5 instances")
    page.locator("#refused summary").click()
    refused = page.locator(".refused", has_text="suv_body_weight")
    expect(refused).to_contain_text("Not for this series: Modality (0008,0060) is 'CT', wanted 'PT'")
    expect(refused.locator("input")).to_be_disabled()
    expect(page.locator(".refused", has_text="Two inputs")).to_contain_text("no other series of the study")

    page.get_by_label("gaussian_smoothing").check()
    sigma = page.get_by_label("SigmaMm")
    expect(sigma).to_have_value("1")
    sigma.fill("-3")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#parameter-SigmaMm-error")).to_have_text("must be greater than 0")
    sigma.fill("0")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#parameter-SigmaMm-error")).to_have_text("must be greater than 0")
    expect(sigma).to_be_focused()
    sigma.fill("2")
    page.get_by_role("button", name="Preview").click()
    image = page.locator("#preview img")
    expect(image).to_be_visible()
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [24, 32]
    for group, keyword in (
        ("set", "Modality"),
        ("copied", "PatientID"),
        ("computed", "SOPInstanceUID"),
        ("dropped", "XRayTubeCurrent"),
    ):
        table = page.locator(f"details[data-group={group}]")
        if table.get_attribute("open") is None:
            table.locator("summary").click()
        expect(table.get_by_role("cell", name=keyword, exact=True)).to_be_visible()
    assert server.series_ids() == {ct} and server.json("/derived-series/jobs") == []

    page.get_by_role("button", name="Start").click()
    review = page.locator("#review-link")
    expect(review).to_be_focused()
    assert described(server, review.get_attribute("href")) == "Gaussian smoothing, sigma 2 mm"
    page.locator("#explorer-link").click()
    expect(page.locator("#series-info")).to_contain_text("CT")


def test_every_kind_of_parameter(page: Page, server: OrthancServer, ct: str) -> None:
    open_form(page, server, ct, "forms")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#parameter-Factor-error")).not_to_be_empty()  # it has no default
    page.get_by_label("Factor").fill("1.5")
    page.get_by_label("Count").fill("4")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#parameter-Count-error")).to_have_text("must be odd")  # the author's words
    expect(page.get_by_label("Count")).to_be_focused()
    page.get_by_label("Count").fill("5")
    page.get_by_label("Label", exact=True).fill("äö")
    page.get_by_label("Invert").check()
    page.get_by_label("Kind").select_option("maximum")
    page.get_by_label("Axis").select_option("row")
    page.get_by_label("Weights").fill("[0.25, 2]")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#review-link")).to_be_visible()
    description = described(server, page.locator("#review-link").get_attribute("href"))
    expected = {
        **{"Count": 5, "Factor": 1.5, "Label": "äö", "Invert": True, "Kind": "maximum"},
        **{"Axis": "row", "Limit": None, "Weights": [0.25, 2.0]},
    }
    assert description == repr(expected)


def test_progress_cancel_and_failure(page: Page, server: OrthancServer, ct: str) -> None:
    open_form(page, server, ct, "plain")
    page.get_by_label("Seconds").fill("60")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#state")).to_have_text("Processing, 30 %")
    expect(page.locator("#progress")).to_have_js_property("value", 30)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#failure")).to_contain_text("cancelled")
    page.set_viewport_size({"width": 800, "height": 420})
    page.get_by_label("hopeless", exact=True).check()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#failure")).to_contain_text("the moon is in the wrong phase")
    expect(page.locator("#failure .error")).to_be_in_viewport(ratio=1)  # beside the button, where the reader looks
    expect(page.locator("#run")).to_be_hidden()
    expect(page.locator("#log")).to_contain_text("it begins")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#failure")).to_contain_text("the moon is in the wrong phase")
    expect(page.locator("#job-link")).to_have_count(0)  # a preview's job is deleted
    page.get_by_role("button", name="Start").click()
    link = page.locator("#job-link")
    job = str(link.get_attribute("href")).split("=")[-1]
    link.click()
    expect(page.locator("#jobs > tr")).to_have_count(1)
    expect(page.locator(f"tr[data-job='{job}']")).to_contain_text("the moon is in the wrong phase")
    assert server.series_ids() == {ct}


def test_several_results_of_one_job_and_what_it_says(page: Page, server: OrthancServer, ct: str) -> None:
    open_form(page, server, ct, "body_mask")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview h3")).to_have_text(["mask", "masked"])
    expect(page.locator("#preview img")).to_have_count(2)
    expect(page.locator("#preview .values")).to_contain_text("body")
    assert server.series_ids() == {ct}
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#done")).to_contain_text("Stored: 2 series")
    expect(page.locator("#done .values")).to_contain_text("ml")
    expect(page.locator("#done .values")).to_contain_text("HU")
    expect(page.locator("#done .values")).not_to_contain_text("hnsf")
    expect(page.get_by_role("link", name="mask: review it beside its parent")).to_be_focused()
    expect(page.get_by_role("link", name="masked: review it beside its parent")).to_be_visible()
    assert len(server.series_ids()) == 3
    open_form(page, server, ct, "talkative")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#state")).to_contain_text("Processing: half of it, 55 %")
    expect(page.locator("#log")).to_contain_text(HOSTILE[0])
    expect(page.locator("#done")).to_be_visible()
    page.goto(f"{server.url}/derived-series/")
    (job,) = [
        each
        for each in server.json(f"/series/{ct}/jobs?expand")
        if len(each["Content"].get("Result", {}).get("Series", [])) == 2
    ]
    of_job = page.locator(f"tr[data-job='{job['ID']}']")
    for output in job["Content"]["Result"]["Series"]:
        link = of_job.get_by_role("link", name=f"Review {output['Output']}", exact=True)
        expect(link).to_have_attribute("href", re.compile(output["ID"]))
    (process,) = [each for each in server.json("/derived-series/status")["Processes"] if each["Prepared"]]
    workers = page.locator("#workers tr", has_text=str(process["Pid"]))
    expect(workers).to_contain_text("Orthanc's own")
    expect(workers).to_contain_text(re.compile(r"waits.*talkative: [0-9.]+ s, at .*after 600 s without a job"))


def test_keyboard_alone(page: Page, server: OrthancServer, ct: str) -> None:
    page.goto(f"{server.url}/derived-series/derive.html?series={ct}")
    expect(page.locator("#form")).to_be_visible()
    names = page.locator("input[name=pipeline]:enabled").evaluate_all("all => all.map(each => each.value)")
    chosen = page.locator("input[name=pipeline]:checked").input_value()
    page.locator("#back").focus()
    page.keyboard.press("Tab")
    for _ in range((names.index("gaussian_smoothing") - names.index(chosen)) % len(names)):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_label("gaussian_smoothing")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#refused summary")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("SigmaMm")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.locator("#review-link")).to_be_focused()
    assert described(server, page.locator("#review-link").get_attribute("href")).endswith("sigma 3 mm")


def test_two_inputs_and_hostile_text(page: Page, server: OrthancServer) -> None:
    empty(server)
    study = ct_phantom(slices=3, patient_name=HOSTILE[0])
    second = ct_phantom(slices=3, patient_name=HOSTILE[0], series="second")
    for dataset in second:
        dataset.SeriesDescription = HOSTILE[1]
    first = server.upload(study)
    other = server.upload(second)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{server.url}/app/explorer.html#study?uuid={server.json(f'/series/{first}')['ParentStudy']}")
    page.locator("#study-derive").click()
    expect(page.locator("#parent")).to_contain_text(HOSTILE[0])
    expect(page.locator("#choice")).to_contain_text(HOSTILE[1])
    page.get_by_role("link", name="Head 2.5 H31s").click()
    expect(page.locator("#parent")).to_contain_text(HOSTILE[0])
    page.get_by_label("sum", exact=True).check()
    expect(page.get_by_label("second", exact=True)).to_contain_text(HOSTILE[1])
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#review-link")).to_be_visible()
    page.goto(f"{server.url}/derived-series/")
    expect(page.locator("#recent")).to_contain_text(HOSTILE[0])
    assert page.locator("img, main script").count() == 0
    assert other in server.series_ids()


def test_the_status_page(page: Page, server: OrthancServer, ct: str) -> None:
    answer = derive(server, ct, Pipeline="gaussian_smoothing", SeriesDescription="Smooth")["ID"]
    server.json(f"/series/{answer}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    failed = submit(server, ct, Pipeline="bad", Parameters={"How": "raise"})
    finished(server, failed)
    running = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 60})
    page.goto(f"{server.url}/derived-series/")  # with and without the slash at the end
    rows = page.locator("#jobs tr")
    expect(rows).to_have_count(3)
    row = page.locator(f"tr[data-job='{failed}']")
    expect(row).to_contain_text("the moon is in the wrong phase")
    row.get_by_role("button", name="Resubmit").click()
    until(server, failed, {"Success", "Failure"})
    alive = page.locator(f"tr[data-job='{running}']")
    expect(alive).to_contain_text("Processing, 30 %")
    expect(page.locator(f"#workers a[href$='{running}']")).to_have_text("a job")
    alive.get_by_role("button", name="Cancel").click()
    expect(alive).to_contain_text("cancelled")
    expect(rows.last.get_by_role("link", name="Review")).to_have_attribute("href", re.compile(answer))
    expect(page.locator("#recent")).to_contain_text("Smooth")
    expect(page.locator("#recent")).to_contain_text("Accepted by Anna")
    expect(page.locator("#rules")).to_contain_text("never")
    expect(page.locator("#rules")).to_contain_text("A study lacks pet (0 of 1); its time is over at")
    expect(page.locator("#rules")).to_contain_text("sends to pacs")
    expect(page.locator("#problems")).to_contain_text("nothing_of_this_name")
    row.get_by_role("button", name="Forget").click()
    expect(rows).to_have_count(2)
    page.goto(f"{server.url}/derived-series")
    expect(rows).to_have_count(2)


def test_pages_of_jobs(page: Page, server: OrthancServer, ct: str) -> None:
    for _ in range(23):
        finished(server, submit(server, ct, Pipeline="gaussian_smoothing", Inputs={"no": ct}))
    total = len(server.json("/derived-series/jobs"))
    page.goto(f"{server.url}/derived-series/")
    expect(page.locator("#place")).to_have_text(f"1 to 20 of {total}, newest first")
    page.get_by_role("button", name="Older").click()
    expect(page.locator("#place")).to_have_text(re.compile(f"^21 to .* of {total}"))
    page.get_by_role("button", name="Newer").click()
    expect(page.locator("#jobs tr")).to_have_count(20)


def fits(server: OrthancServer, series: str) -> dict[str, Any]:
    return {each["Name"]: each for each in server.json(f"/series/{series}/pipelines")}


def test_which_pipelines_take_a_series(server: OrthancServer, ct: str) -> None:
    mr = server.upload(mr_phantom(slices=3, study="2"))
    fitting = fits(server, mr)
    assert fitting["gaussian_smoothing"]["Fits"] and fitting["gaussian_smoothing"]["Reason"] is None
    assert fitting["gaussian_smoothing"]["Parameters"]["properties"]["SigmaMm"]["exclusiveMinimum"] == 0
    assert fitting["suv_body_weight"]["Reason"].startswith("Modality")
    assert not fitting["sum"]["Fits"]  # the CT is of another study
    enhanced = derive(server, ct, Blueprint="legacy_enhanced_ct", Factory="ct")["ID"]
    fitting = fits(server, enhanced)
    assert fitting["gaussian_smoothing"]["Fits"]  # by its frames
    assert [(each["ID"], each["Fits"]) for each in fitting["sum"]["Others"]["second"]] == [(ct, True)]
    document = server.json(f"/series/{ct}/derive/encapsulated_pdf/pdf", "POST", data=b"%PDF-1.4")["ID"]
    assert not fits(server, document)["gaussian_smoothing"]["Fits"]
    assert server.get("/series/nothing/pipelines").status_code == 404


def test_a_dry_run_shows_a_slice_and_what_is_dropped(server: OrthancServer, ct: str) -> None:
    plain = derive(server, ct, Pipeline="gaussian_smoothing", DryRun=True)
    assert "Preview" not in plain and "XRayTubeCurrent" in {row["Keyword"] for row in plain["Dropped"]}
    assert {row["Origin"] for row in plain["Header"]} == {"Set", "Copied", "Computed"}
    answer = server.post(f"/series/{ct}/derive", json={"Pipeline": "plain", "Preview": True})
    assert answer.status_code == 400 and "DryRun" in answer.json()["Message"]


@takes_a_picture
def test_picture_of_the_form(page: Page, empty_orthanc: OrthancServer) -> None:
    head = empty_orthanc.upload(ct_phantom(slices=24, rows=256, columns=256, pixel_spacing=(0.9, 0.9)))
    open_form(page, empty_orthanc, head, "gaussian_smoothing")
    page.get_by_label("SigmaMm").fill("1.5")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview img")).to_be_visible()
    save(page, "derive.png")
