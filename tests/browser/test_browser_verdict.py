"""The bar in which a person accepts or rejects, in a real Chromium on a real Orthanc."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from orthanc_server import OrthancServer
from phantoms import ct_phantom

HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    with OrthancServer(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def parent(server: OrthancServer) -> str:
    return server.upload(ct_phantom(slices=3))


@pytest.fixture
def series(server: OrthancServer, parent: str) -> str:
    answer: Any = server.json(f"/series/{parent}/derive", "POST", json={"Pipeline": "gaussian_smoothing"})
    return str(answer["ID"])


def opened(page: Page, server: OrthancServer, series: str) -> None:
    page.goto(f"{server.url}/derived-series/review/{series}")
    expect(page.get_by_role("region", name="Verdict").get_by_role("status")).to_have_text("Not reviewed")


def test_a_person_accepts_with_the_mouse(page: Page, server: OrthancServer, series: str) -> None:
    opened(page, server, series)
    page.get_by_role("button", name="Accept…").click()
    page.get_by_label("Remark").fill(HOSTILE)
    page.get_by_label("Your name").fill("Eva <b>Müller</b>")
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.locator(".verdict-state")).to_have_text("Accepted")
    expect(page.locator("#verdict")).to_contain_text("by Eva <b>Müller</b>")
    expect(page.locator("#verdict")).to_contain_text(HOSTILE)
    expect(page.get_by_role("button", name="Accept…")).to_be_hidden()
    kept = server.json(f"/series/{series}/metadata/4301")
    assert (kept["State"], kept["User"], kept["Reason"]) == ("Accepted", "Eva <b>Müller</b>", HOSTILE)


def test_the_series_of_one_job_are_reviewed_one_after_the_other_and_judged_together(
    page: Page, server: OrthancServer, parent: str
) -> None:
    answer = server.json(f"/series/{parent}/derive", "POST", json={"Pipeline": "body_mask"})
    mask, masked = (each["ID"] for each in answer["Series"])
    opened(page, server, mask)
    siblings = page.get_by_role("navigation", name="Series of the same job")
    expect(siblings.locator("[aria-current]")).to_have_text("mask: not reviewed")
    value = answer["Values"]["body"]["Value"]
    expect(page.locator("#values")).to_contain_text(f"body {value:g} ml")
    expect(page.locator("#values")).to_contain_text("HU")
    siblings.get_by_role("link", name="masked: not reviewed").click()
    page.wait_for_url(f"**/review/{masked}")
    expect(siblings.locator("[aria-current]")).to_have_text("masked: not reviewed")
    page.get_by_role("button", name="Accept…").click()
    page.get_by_label("Your name").fill("Eva")
    page.get_by_label("All 2 series of the job").check()
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.locator(".verdict-state")).to_have_text("Accepted")
    expect(siblings.get_by_role("link", name="mask: accepted")).to_be_visible()
    assert server.json(f"/series/{mask}/review")["State"] == "Accepted"


def test_a_person_rejects_with_the_keyboard(page: Page, server: OrthancServer, series: str) -> None:
    opened(page, server, series)
    page.get_by_role("button", name="Reject…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Reject…")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("Software")  # selects by its beginning
    page.keyboard.press("Tab")
    page.keyboard.type("left is right")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("Eva")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict-state")).to_have_text("Rejected")
    expect(page.locator(".verdict-state")).to_be_focused()
    expect(page.locator("#verdict")).to_contain_text("Software failure: left is right")
    study = server.json(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
    query = {"StudyInstanceUID": study, "Modality": "KO"}
    uids = [item["0020000E"]["Value"][0] for item in server.json("/dicom-web/series", params=query)]
    verdict = server.json(f"/series/{series}/metadata/4301")
    assert verdict["KeyObjects"]["SeriesInstanceUID"] in uids and verdict["Code"] == "111218"


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """Of another person; answers that refuse are errors of its console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    try:
        yield context
    finally:
        context.close()


def judge(server: OrthancServer, series: str, **verdict: str) -> None:
    server.json(f"/series/{series}/review", "POST", json=verdict)


def test_a_verdict_of_another_person_is_told_and_followed(
    window: BrowserContext, server: OrthancServer, series: str
) -> None:
    page = window.new_page()
    opened(page, server, series)
    page.get_by_role("button", name="Reject…").click()
    page.get_by_label("Reason").select_option("111218")
    page.get_by_label("Your name").fill("Eva")
    judge(server, series, Verdict="Accept", User="Otto")
    page.get_by_role("button", name="Reject", exact=True).click()
    notice = page.locator("#verdict").get_by_role("alert")
    expect(notice).to_contain_text("accepted by Otto on 20")
    expect(page.locator(".verdict-state")).to_have_text("Accepted")
    expect(page.get_by_role("button", name="Accept…")).to_be_hidden()
    expect(page.get_by_role("button", name="Reject", exact=True)).to_be_hidden()
    assert server.json(f"/series/{series}/metadata/4301")["State"] == "Accepted", "nobody rejects what they did not see"
    page.get_by_role("button", name="Reject…").click()
    page.get_by_label("Reason").select_option("111218")
    page.get_by_label("Your name").fill("Eva")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator(".verdict-state")).to_have_text("Rejected")
    expect(notice).to_be_hidden()


def test_accepting_what_was_rejected_meanwhile_is_told(
    window: BrowserContext, server: OrthancServer, series: str
) -> None:
    page = window.new_page()
    opened(page, server, series)
    page.get_by_role("button", name="Accept…").click()
    page.get_by_label("Your name").fill("Eva")
    judge(server, series, Verdict="Reject", Code="111218", User="Otto")
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.locator("#verdict").get_by_role("alert")).to_contain_text("rejected by Otto on 20")
    expect(page.locator(".verdict-state")).to_have_text("Rejected")
    for name in ("Accept…", "Reject…"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()


def test_a_verdict_in_another_tab_is_followed_at_once(
    window: BrowserContext, server: OrthancServer, series: str
) -> None:
    first, second = window.new_page(), window.new_page()
    for page in (first, second):
        opened(page, server, series)
    first.get_by_role("button", name="Reject…").click()
    second.get_by_role("button", name="Accept…").click()
    second.get_by_label("Your name").fill("Eva")
    second.get_by_role("button", name="Accept", exact=True).click()
    expect(second.locator(".verdict-state")).to_have_text("Accepted")
    expect(first.locator(".verdict-state")).to_have_text("Accepted")
    expect(first.locator("#verdict").get_by_role("alert")).to_contain_text("in another window by Eva")
    expect(first.get_by_role("button", name="Accept…")).to_be_hidden()
    expect(first.locator("#verdict form")).to_be_hidden()
