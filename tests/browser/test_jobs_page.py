"""The status page, and the verdict in Orthanc Explorer: Chromium on a real Orthanc."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from accessibility import violations, width_beside_the_screen
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from screenshots import save, takes_a_picture
from server_fixtures import derive, finished, settings, submit

TALKATIVE = """
import time
from pathlib import Path

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Marker(Parameters):
    Path: str


class Talkative(Pipeline):
    '''Says a line, waits for a file, and says another.'''

    parameters = Marker

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("Nothing", "Smoothing")

    def process(self, container):
        print("the first line", flush=True)
        while not Path(container.parameters.Path).exists():
            time.sleep(0.02)
        print("the second line", flush=True)
        return container["parent"].voxels()
"""

Tab = Callable[..., Page]


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("orthanc")
    changes = settings(folder / "library")
    (folder / "library" / "talkative.py").write_text(TALKATIVE)
    with OrthancServer(folder, changes) as server:
        yield server


@pytest.fixture(scope="module")
def jobs(server: OrthancServer) -> dict[str, str]:
    """Two patients' jobs: series of each verdict, one with warnings, and a failure. Series and jobs by name."""
    first = server.upload(ct_phantom(slices=3))
    other = server.upload(ct_phantom(slices=3, patient_name="Other^Olga", patient_id="OLGA-2", study="2", series="2"))
    ids = {"parent": first, "other": other}
    ids["doubtful"] = derive(server, other, Pipeline="plain", Replace={"Modality": "MR"}, Validation="Warn")["ID"]
    smooth = {"Pipeline": "gaussian_smoothing", "User": "Rita"}
    for name in ("accepted", "rejected", "waiting"):
        ids[name] = derive(server, first, **smooth, SeriesDescription=name.capitalize())["ID"]
    server.json(f"/series/{ids['accepted']}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    rejection = {"Verdict": "Reject", "User": "Anna", "Code": "111219", "Reason": "left and right swapped"}
    server.json(f"/series/{ids['rejected']}/review", "POST", json=rejection)
    ids["failure"] = submit(server, other, Pipeline="bad", Parameters={"How": "raise"})
    finished(server, ids["failure"])
    return ids


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """Makes pages with settings of their own (locale, colour scheme, size). They may log errors, such as a 403."""
    contexts = []

    def make(**options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()


def row(page: Page, job: str) -> Locator:
    return page.locator(f"tr[data-job='{job}']")


def job_of(server: OrthancServer, series: str) -> str:
    """The job that has made a series."""
    return str(server.json(f"/series/{series}/review")["Job"])


def test_what_must_not_be_missed_comes_first(page: Page, server: OrthancServer, jobs: dict[str, str]) -> None:
    page.goto(f"{server.url}/derived-series/")
    failed = page.locator("#failed")
    expect(failed).to_contain_text("Failed: 1 job")
    expect(failed).to_contain_text("the moon is in the wrong phase")
    expect(failed).to_contain_text("Other Olga")
    waiting = page.locator("#waiting li")
    expect(waiting).to_have_count(2)
    expect(waiting.first).to_contain_text(re.compile(r"Other Olga.*\d warning"))  # before the one without
    expect(waiting.last.get_by_role("link")).to_have_text(re.compile(r"^\d+ · CT · Waiting$"))
    expect(waiting.last.get_by_role("link")).to_have_attribute("href", re.compile(jobs["waiting"]))
    expect(page.locator("#problems")).to_contain_text("nothing_of_this_name")
    parts = page.locator("main > *").evaluate_all("all => all.map(each => each.innerText.split('\\n')[0])")
    assert parts[1:3] == ["To look at first", "Jobs"]
    failed.get_by_role("link").click()
    expect(page.locator("#jobs tr")).to_have_count(1)
    expect(row(page, jobs["failure"])).to_contain_text("Failed")


def test_a_row_says_whose_what_and_how_it_ended(page: Page, server: OrthancServer, jobs: dict[str, str]) -> None:
    page.goto(f"{server.url}/derived-series/")
    accepted = row(page, job_of(server, jobs["accepted"]))
    number = server.json(f"/series/{jobs['accepted']}")["MainDicomTags"]["SeriesNumber"]
    cell = {
        name: accepted.locator(f"td[data-label='{name}']") for name in ("What", "Patient", "Series", "Took", "User")
    }
    expect(cell["What"]).to_contain_text("gaussian_smoothing")
    expect(cell["Patient"]).to_have_text("Phantom Head · PHANTOM-1")
    expect(cell["Series"].get_by_role("link", name="3 · CT · Head 2.5 H31s")).to_have_attribute(
        "href", re.compile(f"explorer.html#series.uuid={jobs['parent']}")
    )
    expect(cell["Took"]).to_have_text(re.compile(r"^\d+(\.\d)? s$"))
    expect(cell["User"]).to_have_text("Rita")
    expect(accepted).to_contain_text(f"{number} · CT · Accepted: Accepted by Anna")
    doubtful = row(page, job_of(server, jobs["doubtful"]))
    doubtful.locator("summary", has_text="warning").click()
    expect(doubtful.locator("p.warning").first).to_be_visible()


def test_jobs_are_filtered(page: Page, server: OrthancServer, jobs: dict[str, str]) -> None:
    page.goto(f"{server.url}/derived-series/")
    rows = page.locator("#jobs tr")
    everything = len(server.json("/derived-series/jobs"))
    expect(rows).to_have_count(everything)
    page.get_by_label("Patient").fill("olga")
    expect(rows).to_have_count(2)
    page.get_by_label("State").select_option("failed")
    expect(rows).to_have_count(1)
    expect(page.locator("#place")).to_have_text("1 to 1 of those that match, newest first")
    expect(page).to_have_url(re.compile(r"\?state=Failure&patient=olga$"))
    page.reload()
    expect(rows).to_have_count(1)
    expect(row(page, jobs["failure"])).to_be_visible()
    page.get_by_role("button", name="All jobs").click()
    expect(rows).to_have_count(everything)
    page.get_by_label("Pipeline").select_option("gaussian_smoothing")
    expect(rows).to_have_count(3)
    page.get_by_label("Text").fill("nobody knows")
    expect(page.locator("#no-jobs")).to_have_text("No job matches.")
    page.get_by_label("Text").fill("RITA 3 · ct")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="All jobs").click()
    page.get_by_label("Text").fill("wrong phase")
    expect(rows).to_have_count(1)


def test_the_log_is_read_while_the_job_runs(
    page: Page, server: OrthancServer, jobs: dict[str, str], tmp_path: Path
) -> None:
    marker = tmp_path / "go on"
    job = submit(server, jobs["parent"], Pipeline="talkative", Parameters={"Path": str(marker)})
    page.goto(f"{server.url}/derived-series/")
    row(page, job).get_by_role("button", name="Log").click()
    log = page.get_by_role("region", name="What the job's code says")
    expect(log).to_have_text(re.compile(r"^\d\d:\d\d:\d\d the first line\n$"))
    marker.touch()
    expect(log).to_have_text(re.compile(r"the first line\n[\d:]+ the second line\n$"))
    row(page, job).get_by_role("button", name="Log").click()
    expect(log).to_have_count(0)
    derived = finished(server, job)["Content"]["Result"]["ID"]
    page.goto("about:blank")  # or it asks for the job once more
    server.delete(f"/series/{derived}")
    server.delete(f"/series/{jobs['parent']}/jobs/{job}")


def test_who_may_not_see_a_patient_sees_the_rest(tab: Tab, server: OrthancServer, jobs: dict[str, str]) -> None:
    page = tab()
    page.route(re.compile(f"/series/{jobs['other']}"), lambda route: route.fulfill(status=403, body=""))
    page.goto(f"{server.url}/derived-series/")
    expect(row(page, jobs["failure"])).to_contain_text("bad")
    expect(page.locator("#jobs td[data-label=Patient]", has_text="PHANTOM-1").first).to_be_visible()
    assert "olga" not in row(page, jobs["failure"]).inner_text().lower()
    assert "wrong phase" not in page.locator("main").inner_text()


def test_the_verdict_in_orthanc_explorer(page: Page, server: OrthancServer, jobs: dict[str, str]) -> None:
    page.goto(f"{server.url}/app/explorer.html#series?uuid={jobs['rejected']}")
    expect(page.locator("#series-verdict")).to_contain_text("Derived series. Rejected by Anna, ")
    expect(page.locator("#series-verdict")).to_contain_text("left and right swapped")
    page.locator("#series-review").click()
    page.wait_for_url(f"**/derived-series/review/{jobs['rejected']}")
    held: list[Route] = []  # the answer of the first series comes last

    def hold(route: Route) -> None:
        held.append(route)

    page.route(f"**/series/{jobs['accepted']}/review*", hold)
    page.goto(f"{server.url}/app/explorer.html#study?uuid={server.json('/series/' + jobs['parent'])['ParentStudy']}")
    lines = page.locator("#study-verdict > div:not(:empty)")
    expect(lines).to_have_count(2)
    held[0].continue_()
    expect(lines).to_have_count(3)
    names = page.locator("#study-verdict a").all_inner_texts()
    numbers = [int(name.split(" ")[0]) for name in names]
    assert numbers == sorted(numbers)
    button, verdicts = page.locator("#study-derive").bounding_box(), page.locator("#study-verdict").bounding_box()
    assert button and verdicts and button["y"] < verdicts["y"]  # however many series there are
    expect(lines.filter(has_text="· Waiting")).to_contain_text("Waiting for review")
    expect(lines.filter(has_text="· Accepted")).to_contain_text("Accepted by Anna")
    lines.filter(has_text="· Accepted").get_by_role("link").click()
    page.wait_for_url(f"**/derived-series/review/{jobs['accepted']}")
    page.goto(f"{server.url}/app/explorer.html#series?uuid={jobs['parent']}")
    expect(page.locator("#series-derive")).to_be_visible()
    expect(page.locator("#series-info")).to_contain_text("CT")
    expect(page.locator("#series-review")).to_be_hidden()
    expect(page.locator("#series-verdict")).to_be_empty()


def pages_of(server: OrthancServer, jobs: dict[str, str]) -> dict[str, tuple[str, str]]:
    """The pages, and for each an element that is there when it is filled."""
    root = f"{server.url}/derived-series"
    return {
        "status": (f"{root}/", "#health dd"),
        "form": (f"{root}/derive.html?series={jobs['parent']}", "#form:not([hidden])"),
        "review": (f"{root}/review/{jobs['rejected']}", "body[data-ready=true]"),
    }


def open_all_of(page: Page, name: str) -> None:
    """Open what a reader of a page may open."""
    if name == "form":
        page.locator("#refused summary").click()
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview img")).to_be_visible()
    elif name == "review":
        page.get_by_role("button", name="Tags").click()
        page.get_by_role("button", name="Histograms").click()
        expect(page.locator("#tags tr[data-kind='changed']").first).to_be_visible()
    else:
        page.locator("#jobs tr").first.get_by_role("button", name="Log").click()
        expect(page.locator("#jobs pre")).to_be_visible()


@pytest.mark.parametrize("name", ["status", "form", "review"])
def test_every_page_serves_everybody(tab: Tab, server: OrthancServer, jobs: dict[str, str], name: str) -> None:
    """In both schemes, by axe-core's rules; and on a phone, without scrolling sideways."""
    address, filled = pages_of(server, jobs)[name]
    backgrounds = set()
    for scheme in ("dark", "light"):
        page = tab(color_scheme=scheme, viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector(filled)
        open_all_of(page, name)
        assert violations(page) == [], scheme
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.set_viewport_size({"width": 360, "height": 740})
        assert width_beside_the_screen(page) <= 0, scheme
    assert len(backgrounds) == 2
    assert violations(page) == []  # and of the phone


def test_times_are_the_readers(tab: Tab, server: OrthancServer, jobs: dict[str, str]) -> None:
    job = server.json(f"/series/{jobs['other']}/jobs/{jobs['failure']}")
    year, month, day = job["CreationTime"][:4], job["CreationTime"][4:6], job["CreationTime"][6:8]
    page = tab(locale="de-DE", timezone_id="UTC")
    page.goto(f"{server.url}/derived-series/")
    accepted = row(page, jobs["failure"]).locator("td[data-label=Accepted]")
    expect(accepted).to_contain_text(f"{day}.{month}.{year}, {job['CreationTime'][9:11]}:")
    page.goto(f"{server.url}/derived-series/review/{jobs['accepted']}")
    expect(page.locator("#study")).to_contain_text(re.compile(r"\d\d\.\d\d\.\d{4}"))


def test_a_server_that_is_away_and_a_session_that_is_over_are_said(
    tab: Tab, server: OrthancServer, jobs: dict[str, str]
) -> None:
    page = tab()
    answer: list[int] = []

    def serve(route: Route) -> None:
        if not answer:
            route.continue_()
        elif answer[0] == 0:
            route.abort()
        else:
            route.fulfill(status=answer[0], body="")

    page.route(re.compile("/derived-series/status$"), serve)
    page.goto(f"{server.url}/derived-series/")
    expect(page.locator("#health dd").first).to_be_visible()
    for status, words in (
        (0, "Orthanc does not answer."),
        (401, "You are not signed in to Orthanc, or your session is over."),
        (403, "You do not have the permission for this."),
    ):
        answer[:] = [status]
        expect(page.locator("#trouble")).to_contain_text(words)
        expect(page.locator("#trouble")).to_contain_text("This page asks again.")
        expect(page.locator("#health dd").first).to_be_visible()  # what was there stays
    answer.clear()
    expect(page.locator("#trouble")).to_be_empty()
    page.route(re.compile("/pipelines$"), lambda route: route.fulfill(status=401, body=""))
    page.goto(f"{server.url}/derived-series/derive.html?series={jobs['parent']}")
    expect(page.locator("#trouble")).to_contain_text("your session is over")
    page.goto(f"{server.url}/derived-series/derive.html?series=nothing")
    expect(page.locator("#trouble .error")).not_to_be_empty()


def test_a_proxys_page_for_signing_in_is_not_an_answer(tab: Tab, server: OrthancServer, jobs: dict[str, str]) -> None:
    """A proxy with single sign-on leads every request of an old session to its own page, which is 200."""
    page = tab()
    page.goto(f"{server.url}/derived-series/derive.html?series={jobs['parent']}")
    expect(page.locator("#form")).to_be_visible()
    words = page.evaluate(
        """async () => {
        const { ask } = await import("/derived-series/app/shared/server.js");
        const real = window.fetch;
        const signIn = await real("/app/explorer.html");
        window.fetch = async () => Object.defineProperty(signIn, "redirected", { value: true });
        return ask("derived-series/status").then(() => "an answer", error => `${error.status} ${error.message}`);
    }"""
    )
    assert words == "401 You are not signed in to Orthanc, or your session is over."


@takes_a_picture
def test_the_picture_of_the_status_page(page: Page, empty_orthanc: OrthancServer) -> None:
    head = empty_orthanc.upload(ct_phantom(slices=8))
    for sigma, description in ((1, "Smoothed 1 mm"), (2, "Smoothed 2 mm"), (3, "Smoothed 3 mm")):
        derive(
            empty_orthanc,
            head,
            Pipeline="gaussian_smoothing",
            Parameters={"SigmaMm": sigma},
            SeriesDescription=description,
            User="Rita",
        )
    derived = derive(empty_orthanc, head, Pipeline="body_mask", User="Rita")
    for series in derived["Series"]:
        empty_orthanc.json(f"/series/{series['ID']}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    flat = empty_orthanc.upload(ct_phantom(slices=8, series="flat", series_number=4, noise=0))
    failure = submit(empty_orthanc, flat, Pipeline="gaussian_smoothing", Parameters={"SigmaMm": 1}, Timeout=0.01)
    finished(empty_orthanc, failure)
    page.goto(f"{empty_orthanc.url}/derived-series/")
    expect(page.locator("#waiting li")).to_have_count(3)
    page.wait_for_load_state("networkidle")
    save(page, "jobs.png")
