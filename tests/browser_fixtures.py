"""A real Chromium (Debian's, headless) for tests of pages; conftest.py has the fixtures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from installed import not_installed

_MILLISECONDS = 20_000
expect.set_options(_MILLISECONDS)  # two processors may be busy with much else


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser. Skips if there is no Chromium; fails instead if CI=true."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        not_installed("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield launched
        finally:
            launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a new profile. Fails the test if one of our pages reports an error or calls a foreign host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(_MILLISECONDS)
    browser_page = context.new_page()
    troubles: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(f"console: {message.text} ({message.location.get('url')})")

    browser_page.on("console", note)
    browser_page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    browser_page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))
            else troubles.append(f"foreign host: {request.url}")
        ),
    )
    try:
        yield browser_page
    finally:
        context.close()
    assert not troubles, "\n".join(troubles)
