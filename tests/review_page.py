"""The review page for tests, which read its state from data attributes."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page

from orthanc_server import OrthancServer


class ReviewPage:
    """The page of a derived series, opened and ready. Keys go to the derived side, which has the focus at first."""

    def __init__(self, page: Page, server: OrthancServer, series: str, query: str = ""):
        self.page = page
        page.goto(f"{server.url}/derived-series/review/{series}{query}")
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate("document.body.dataset.ready") == "true", page.inner_text("#status")

    def press(self, *keys: str) -> ReviewPage:
        for key in keys:
            self.page.keyboard.press(key)
        return self.settled()

    def settled(self) -> ReviewPage:
        """Wait until everything visible is drawn."""
        two_frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.page.evaluate(two_frames)
        self.page.wait_for_selector("#panes[data-complete='true']")  # functions to wait for would need eval
        return self

    def pane(self, name: str) -> dict[str, str]:
        """The data attributes of a pane: slice, positionMm, time, shown, windowCentre, windowWidth."""
        document: dict[str, str] = json.loads(
            self.page.evaluate("id => JSON.stringify({...document.getElementById(id).dataset})", name)
        )
        return document

    def readout(self) -> dict[str, str]:
        """The data attributes of the readout: mm, parentValue, derivedValue, differenceValue."""
        return self.pane("readout")

    def mode(self) -> str:
        return self.pane("panes")["mode"]

    def cursor_to(self, name: str, row: int, column: int) -> ReviewPage:
        """Move the mouse to the centre of a pixel, which must be on the screen."""
        script = """([id, row, column]) => {
            const viewer = window.review, pane = viewer.panes[id], { stack } = pane.side;
            const slice = Math.max(viewer.sliceOf(pane.side), 0);
            const [x, y] = viewer.viewOf(pane).toScreen(stack.pointOf(slice, row, column));
            const box = pane.canvas.getBoundingClientRect();
            return [box.left + x, box.top + y];
        }"""
        x, y = self.page.evaluate(script, [name, row, column])
        self.page.mouse.move(x, y)
        return self.settled()

    def colour_at(self, name: str, row: int, column: int) -> list[int]:
        """Red, green and blue on the screen at the centre of a pixel."""
        script = """([id, row, column]) => {
            const viewer = window.review, pane = viewer.panes[id], { stack } = pane.side;
            const [x, y] = viewer.viewOf(pane).toScreen(stack.pointOf(viewer.sliceOf(pane.side), row, column));
            const ratio = pane.canvas.width / pane.stage.getBoundingClientRect().width;
            return [...pane.context.getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data];
        }"""
        pixel: list[Any] = self.page.evaluate(script, [name, row, column])
        return pixel[:3]
