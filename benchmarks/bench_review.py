"""The review page in a real Chromium: a segmentation of many labels on a series of many slices."""

from __future__ import annotations

import io
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from playwright.sync_api import Page, sync_playwright

from bench_data import COLUMNS, ROWS
from bench_objects import labels
from bench_server import SECONDS, orthanc, upload
from bench_tables import Table, spread

_SHOWN = """() => {
    const viewer = window.review, overlay = viewer?.sides?.overlay;
    return document.querySelector("#panes[data-complete='true']") !== null
        && overlay?.has(overlay.stack.sliceAt(viewer.point)) === true;
}"""


@contextmanager
def _chromium() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(SECONDS * 1e3)
            yield page
        finally:
            browser.close()


def _until_shown(page: Page, started: float) -> float:
    page.wait_for_function(_SHOWN, polling="raf")
    return time.perf_counter() - started


def measure(slices: int, counts: tuple[int, ...], repeats: int) -> Table:
    """Seconds from the address to the first overlay, and from a key to the next slice's, by the number of labels."""
    rows = []
    with orthanc() as server:
        parent = upload(server, slices)
        for count in counts:
            image = io.BytesIO()
            np.save(image, labels(slices, count))
            path = f"/series/{parent.orthanc_id}/derive/segmentation/segmentation"
            derived = server.json(path, "POST", data=image.getvalue(), timeout=SECONDS)
            first: list[float] = []
            following: list[float] = []
            jumps: list[float] = []
            for _ in range(repeats):
                with _chromium() as page:
                    started = time.perf_counter()
                    page.goto(f"{server.url}/derived-series/review/{derived['ID']}")
                    first.append(_until_shown(page, started))
                    for key, times, presses in (("ArrowUp", following, 20), ("PageUp", jumps, 5)):
                        for _ in range(presses):
                            started = time.perf_counter()
                            page.keyboard.press(key)
                            page.evaluate(
                                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
                            )
                            times.append(_until_shown(page, started))
            rows.append(
                (f"{count} labels", spread(first), spread(following, 1e-3, 0), f"{statistics.median(jumps) * 1e3:.0f}")
            )
    return Table(
        f"9. The review page of a segmentation of {slices} x {ROWS} x {COLUMNS} in Chromium",
        ("segmentation", "first overlay, s", "next slice, ms", "ten slices on, ms"),
        tuple(rows),
        ("Each time a new browser with nothing in its cache; the first overlay counts from the address on.",),
    )
