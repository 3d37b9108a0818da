"""The review page in a real Chromium on a real Orthanc: a parent and what was derived from it, side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Page, expect
from pydicom.dataset import Dataset

from derived_series import ParentSeries
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from review_page import ReviewPage
from server_fixtures import derive, npy

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    made = OrthancServer(tmp_path_factory.mktemp("review"))
    try:
        yield made.start()
    finally:
        made.close()


def values(datasets: list[Dataset]) -> npt.NDArray[np.float32]:
    return ParentSeries.from_datasets(datasets).voxels()


@pytest.fixture(scope="module")
def ct(server: OrthancServer) -> str:
    """A CT of 7 slices, stored from the head down and numbered at random."""
    return server.upload(ct_phantom(7, 40, 32, descending=True, shuffled_numbers=True, patient_name=HOSTILE))


@pytest.fixture(scope="module")
def smoothed(server: OrthancServer, ct: str) -> str:
    return str(derive(server, ct, Pipeline="gaussian_smoothing", SeriesDescription=HOSTILE)["ID"])


def send(server: OrthancServer, parent: str, kind: str, image: npt.NDArray[np.generic]) -> str:
    return str(server.json(f"/series/{parent}/derive/{kind}", "POST", data=npy(image))["ID"])


def test_both_sides_show_the_same_position_and_real_values(
    page: Page, server: OrthancServer, ct: str, smoothed: str
) -> None:
    parent, derived = values(server.download(ct)), values(server.download(smoothed))
    distances = ParentSeries.from_datasets(server.download(ct)).require_grid().distances
    review = ReviewPage(page, server, smoothed)
    for keys, index in (
        (["ArrowUp"], 4),
        (["ArrowUp", "ArrowUp"], 6),
        (["ArrowUp"], 6),
        (["Home"], 0),
        (["PageUp"], 6),
    ):
        review.press(*keys)
        for side in ("parent", "derived"):
            shown = review.pane(side)
            assert shown["slice"] == shown["shown"] == str(index)
            assert float(shown["positionMm"]) == pytest.approx(distances[index], abs=1e-3)
    review.press("ArrowDown").cursor_to("parent", 20, 9)
    readout = review.readout()
    assert float(readout["parentValue"]) == parent[5, 20, 9]
    assert float(readout["derivedValue"]) == pytest.approx(derived[5, 20, 9], abs=1e-3)
    assert float(readout["differenceValue"]) == pytest.approx(derived[5, 20, 9] - parent[5, 20, 9], abs=1e-3)
    point = ParentSeries.from_datasets(server.download(ct)).affine_lps @ [5, 20, 9, 1]
    assert [float(part) for part in readout["mm"].split()] == pytest.approx(point[:3], abs=0.5)
    expect(page.locator("#readout")).to_contain_text("slice 6, row 21, column 10")


def test_windows_are_in_hounsfield_units_and_shared(page: Page, server: OrthancServer, ct: str, smoothed: str) -> None:
    parent = values(server.download(ct))
    review = ReviewPage(page, server, smoothed)
    assert [review.pane("parent")[key] for key in ("windowCentre", "windowWidth")] == ["40", "80"]  # the header's
    review.press("6")  # bone, of the presets of CT
    for side in ("parent", "derived"):
        assert [review.pane(side)[key] for key in ("windowCentre", "windowWidth")] == ["500", "2000"]
    grey = round(255 * min(max((parent[3, 20, 16] - 500) / 2000 + 0.5, 0), 1))
    assert review.colour_at("parent", 20, 16) == [grey] * 3
    page.keyboard.down("w")
    review.press("ArrowUp", "ArrowRight")
    page.keyboard.up("w")
    assert float(review.pane("parent")["windowCentre"]) == 600 and float(review.pane("derived")["windowWidth"]) > 2000
    page.locator("#derived").get_by_label("window width").fill("100")
    page.keyboard.press("Tab")
    assert review.settled().pane("parent")["windowWidth"] == "100"
    page.locator("#parent canvas").focus()
    review.press("r")
    assert review.pane("parent")["windowWidth"] == "80"


def test_a_hostile_name_is_text(page: Page, server: OrthancServer, smoothed: str) -> None:
    ReviewPage(page, server, smoothed)
    expect(page.locator("#patient")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("#of-derived")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img").count() == 0 and page.locator("script").count() == 1
