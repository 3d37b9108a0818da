"""That the browser of the tests is a real one, beside a real Orthanc."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from orthanc_server import OrthancServer


def test_orthanc_explorer_opens(page: Page, orthanc: OrthancServer) -> None:
    page.goto(f"{orthanc.url}/app/explorer.html")
    expect(page.locator("#lookup")).to_be_visible()
