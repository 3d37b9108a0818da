"""The review page in a real Chromium on a real Orthanc: a parent and what was derived from it, side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, Page, expect
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless

from derived_series import ParentSeries
from derived_series.dicom.modules.windows import displayed
from multiframe import enhanced, mosaic
from orthanc_server import OrthancServer
from phantoms import compressed, ct_phantom, mr_phantom
from phantoms_4d import fmri_phantom
from phantoms_projection import angiogram, digital_x_ray
from review_page import ReviewPage
from screenshots import save, takes_a_picture
from server_fixtures import derive, job, npy, settings, submit, until
from shared_data import needs_series, series_datasets

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    with OrthancServer(tmp_path_factory.mktemp("review")) as orthanc:
        yield orthanc


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


def test_a_stored_window_is_drawn_by_its_function(page: Page, server: OrthancServer, ct: str) -> None:
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3: LINEAR shows width - 1; the three differ."""
    voxels, greys = values(server.download(ct)), set()
    row, column = (int(index) for index in np.unravel_index(np.abs(voxels[3] - 48).argmin(), voxels[3].shape))
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        window = {"VOILUTFunction": function, "WindowCenter": 40, "WindowWidth": 20}
        derived = derive(server, ct, Blueprint="ct", Factory="numpy", Replace=window)["ID"]
        review = ReviewPage(page, server, derived)
        page.locator("#derived").get_by_label("window preset").select_option("As stored")
        right = round(255 * float(displayed(voxels[3, row, column], 40, 20, function)))
        assert review.settled().colour_at("derived", row, column) == [right] * 3, function
        greys.add(right)
    assert len(greys) == 3


def test_frames_of_reference_are_compared_where_the_parent_has_one(page: Page, server: OrthancServer) -> None:
    """The derived series of a parent without one has one of its own: that is no alarm."""
    without = ct_phantom(3, 16, 16, series="no frame of reference", study="21")
    for dataset in without:
        del dataset.FrameOfReferenceUID
    without_frame = server.upload(without)
    derived = str(derive(server, without_frame, Blueprint="ct", Factory="numpy")["ID"])
    assert server.download(derived)[0].FrameOfReferenceUID
    ReviewPage(page, server, derived)
    expect(page.locator("#warnings")).not_to_contain_text("frames of reference")
    elsewhere = ct_phantom(3, 16, 16, series="another frame of reference", study="21")
    for dataset in elsewhere:
        dataset.FrameOfReferenceUID = "1.2.3.4"
    other = server.upload(elsewhere)
    ReviewPage(page, server, derived, f"?parent={other}")
    expect(page.locator("#warnings")).to_contain_text("The frames of reference differ")


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


def test_difference_fade_and_flicker(page: Page, server: OrthancServer, ct: str, smoothed: str) -> None:
    parent, derived = values(server.download(ct)), values(server.download(smoothed))
    review = ReviewPage(page, server, smoothed)
    review.press("d")
    shown = review.pane("difference")
    assert review.mode() == "difference" and shown["shown"] == "3" and float(shown["limit"]) > 0
    difference = page.evaluate("Array.from(window.review.difference().values)")
    assert np.allclose(np.reshape(difference, (40, 32)), derived[3] - parent[3], atol=1e-2)
    less, more = (np.unravel_index(index, (40, 32)) for index in (np.argmin(difference), np.argmax(difference)))
    red, _, blue = review.colour_at("difference", int(more[0]), int(more[1]))
    assert red > 2 * blue
    red, _, blue = review.colour_at("difference", int(less[0]), int(less[1]))
    assert blue > 2 * red
    expect(page.locator("#difference .low")).to_have_text(f"−{float(shown['limit']):.1f}")
    review.press("Space")
    assert review.mode() == "fade" and page.get_by_label("fade from parent to derived").input_value() == "1"
    of_derived = review.colour_at("combined", 20, 16)
    review.press("Space")
    of_parent = review.colour_at("combined", 20, 16)
    assert page.get_by_label("fade from parent to derived").input_value() == "0"
    page.get_by_label("fade from parent to derived").fill("0.5")
    mixed = review.settled().colour_at("combined", 20, 16)
    assert of_parent != of_derived and mixed[0] == pytest.approx((of_parent[0] + of_derived[0]) / 2, abs=2)
    review.press("Escape")
    assert review.mode() == "side"


def test_histograms_and_tags(page: Page, server: OrthancServer, ct: str, smoothed: str) -> None:
    parent = values(server.download(ct))
    review = ReviewPage(page, server, smoothed)
    review.press("h", "ArrowUp")
    chart = page.locator("#histograms canvas").first
    assert float(chart.get_attribute("data-mean") or "") == pytest.approx(parent[4].mean(), abs=0.01)
    assert sum(map(int, (chart.get_attribute("data-counts") or "").split())) == parent[4].size
    review.press("h", "t")
    row = page.locator("#tags tr[data-tag='0008,0008']")
    expect(row).to_contain_text("DERIVED\\SECONDARY\\AXIAL")
    expect(row.locator("td").last).to_contain_text("ImageElement")
    described = page.locator("#tags tr[data-tag='0008,103e']")
    expect(described).to_contain_text(HOSTILE)
    expect(described.locator("td").last).to_contain_text("request: StaticElement")
    dropped = page.locator("#tags tr[data-tag='0028,0107'], #tags tr[data-kind='left-out']").first
    expect(dropped.locator("td").last).to_contain_text("no element of the blueprint names it")
    assert page.locator("#tags tr[data-kind='same']").count() == 0
    page.get_by_label("also those that are the same").check()
    expect(page.locator("#tags tr[data-tag='0010,0010']")).to_have_attribute("data-kind", "same")


def test_other_grids_are_matched_by_position(page: Page, server: OrthancServer, ct: str) -> None:
    """Three slices between the parent's, of larger pixels, flipped from left to right."""
    grid = ParentSeries.from_datasets(server.download(ct))
    affine = grid.affine_ras @ np.array([[2, 0, 0, 1.2], [0, 2, 0, 4], [0, 0, -2, 30], [0, 0, 0, 1]])
    image = np.arange(3 * 18 * 16, dtype=np.int16).reshape(3, 18, 16)
    body = nib.Nifti1Image(image.T, affine[:, [2, 1, 0, 3]]).to_bytes()
    derived = server.json(f"/series/{ct}/derive/ct/nifti", "POST", data=body)["ID"]
    stored = ParentSeries.from_datasets(server.download(derived))
    review = ReviewPage(page, server, derived)
    expect(page.locator("#warnings")).to_contain_text("The grids differ")
    expect(page.locator("#warnings")).to_contain_text("pixel spacing")
    distances = grid.require_grid().distances
    for _ in range(3):
        shown = [review.pane(side) for side in ("parent", "derived")]
        apart = np.abs(distances - float(shown[1]["positionMm"]))
        assert apart.min() <= 1.25 and shown[0]["slice"] == str(apart.argmin())
        review.press("ArrowUp")
    review.press("Home").cursor_to("derived", 9, 7)
    here = stored.affine_lps @ [0, 9, 7, 1]
    there = np.linalg.solve(grid.affine_lps, here)[:3]
    readout = review.readout()
    voxel = tuple(int(index) for index in np.rint(there))
    assert float(readout["derivedValue"]) == stored.voxels()[0, 9, 7]
    assert float(readout["parentValue"]) == grid.voxels()[voxel]
    review.press("d")
    difference = page.evaluate("window.review.difference().values[9 * 16 + 7]")
    assert difference == pytest.approx(stored.voxels()[0, 9, 7] - grid.voxels()[voxel])
    page.locator("#parent canvas").focus()
    review.press("Home")
    assert review.pane("derived")["slice"] == "-1" and review.pane("parent")["slice"] == "0"
    expect(page.locator("#derived .message")).to_have_text("The derived series has no slice here")


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, ExplicitVRBigEndian], ids=lambda uid: uid.name)
def test_parents_that_must_be_decoded(page: Page, server: OrthancServer, syntax: str) -> None:
    parent = server.upload(compressed(ct_phantom(3, 32, 32, series=syntax, signed=True), syntax))
    derived = derive(server, parent, Blueprint="ct", Factory="numpy")["ID"]
    review = ReviewPage(page, server, derived).press("ArrowUp").cursor_to("parent", 11, 20)
    wanted = values(server.download(parent))[2, 11, 20]
    assert [float(review.readout()[f"{side}Value"]) for side in ("parent", "derived")] == [wanted, wanted]


def test_several_volumes(page: Page, server: OrthancServer) -> None:
    parent = server.upload(fmri_phantom(times=3, slices=4, rows=16, columns=12))
    derived = derive(server, parent, Blueprint="mr", Factory="numpy")["ID"]
    voxels = values(server.download(parent))
    review = ReviewPage(page, server, derived)
    review.press("ArrowRight", "ArrowUp").cursor_to("parent", 8, 5)
    for side in ("parent", "derived"):
        assert (review.pane(side)["time"], review.pane(side)["slice"]) == ("1", "2")
        assert float(review.readout()[f"{side}Value"]) == voxels[1, 2, 8, 5]
    page.get_by_label("volume", exact=True).fill("3")
    assert review.settled().pane("derived")["shown"] == str(2 * 4 + 2)
    expect(page.locator("#parent .caption")).to_contain_text("volume 3 of 3")


@pytest.mark.parametrize("kind", ["enhanced", "mosaic"])
def test_multi_frame_parents(page: Page, server: OrthancServer, kind: str) -> None:
    slices = mr_phantom(5, 24, 16, orientation="axial", series=kind)
    parent = server.upload([{"enhanced": enhanced, "mosaic": mosaic}[kind](slices)])  # type: ignore[operator]
    derived = derive(server, parent, Blueprint="mr", Factory="numpy")["ID"]
    voxels = values(server.download(parent))
    review = ReviewPage(page, server, derived).press("ArrowUp").cursor_to("parent", 15, 6)
    assert review.pane("parent")["slice"] == "3" and review.pane("parent")["shown"] == "3"
    assert [float(review.readout()[f"{side}Value"]) for side in ("parent", "derived")] == [voxels[3, 15, 6]] * 2


def test_colours_are_drawn_as_they_are(page: Page, server: OrthancServer, ct: str) -> None:
    image = np.zeros((7, 40, 32, 3), np.uint8)
    image[..., 0], image[..., 1] = 200, np.arange(7)[:, None, None] * 20
    derived = send(server, ct, "secondary_capture/numpy", image)
    review = ReviewPage(page, server, derived).press("ArrowUp")
    index = int(review.pane("derived")["slice"])
    assert review.colour_at("derived", 10, 10) == [200, 20 * index, 0]
    review.cursor_to("derived", 10, 10)
    expect(page.locator("#readout")).to_contain_text(f"red 200, green {20 * index}, blue 0")
    review.press("d")
    expect(page.locator("#difference .message")).to_have_text("There is no difference of colours")


def test_projections_are_matched_by_their_order(page: Page, server: OrthancServer) -> None:
    """Side by side, with values of both and the parent's inverted grey; frames of one instance one by one."""
    (x_ray,) = digital_x_ray(inverted=True)
    image = np.minimum(x_ray.pixel_array + 100, 4095)
    review = ReviewPage(page, server, send(server, server.upload([x_ray]), "dx/numpy", image))
    expect(page.locator("#warnings")).to_contain_text("These images have no positions")
    expect(page.locator("#derived .caption")).to_have_text("slice 1 of 1")
    review.cursor_to("derived", 8, 5)
    assert [float(review.readout()[f"{side}Value"]) for side in ("parent", "derived")] == [
        float(x_ray.pixel_array[8, 5]),
        float(image[8, 5]),
    ]
    assert review.colour_at("parent", 8, 4)[0] < review.colour_at("parent", 1, 10)[0], "high values are dark"
    (angiography,) = angiogram(frames=4)
    frames = np.minimum(angiography.pixel_array + 5, 1023)
    review = ReviewPage(page, server, send(server, server.upload([angiography]), "xa/numpy", frames)).press("Home")
    review.press("ArrowUp").cursor_to("parent", 8, 5)
    assert [review.pane(side)["shown"] for side in ("parent", "derived")] == ["1", "1"]
    assert [float(review.readout()[f"{side}Value"]) for side in ("parent", "derived")] == [
        float(angiography.pixel_array[1, 8, 5]),
        float(frames[1, 8, 5]),
    ]


def test_segments_over_the_parent(page: Page, server: OrthancServer, ct: str) -> None:
    labels = np.zeros((7, 40, 32), np.uint8)
    labels[2:5, 4:20, 5:15], labels[3:, 22:30, 3:9] = 1, 2
    named = [
        {"Number": 1, "Label": HOSTILE[:60], "Color": "#aa0000"},
        {"Number": 2, "Label": "Rest", "Color": "#0044ff"},
    ]
    options = {"X-Derived-Series-Options": json.dumps({"Segments": named})}
    path = f"/series/{ct}/derive/segmentation/segmentation"
    derived = server.json(path, "POST", data=npy(labels), headers=options)["ID"]
    review = ReviewPage(page, server, derived)
    legend = page.locator("#segments li")
    assert [item.get_attribute("data-color") for item in legend.all()] == ["#aa0000", "#0044ff"]
    expect(legend.first).to_contain_text(HOSTILE[:60])
    parent = values(server.download(ct))
    review.press("8")  # a window in which all is black or white
    page.get_by_label("Opacity").fill("1")
    review.settled()
    assert review.colour_at("derived", 10, 10) == [170, 0, 0] and review.colour_at("derived", 25, 5) == [0, 68, 255]
    assert review.colour_at("parent", 10, 10)[0] == review.colour_at("parent", 10, 10)[2]
    review.cursor_to("derived", 10, 10)
    assert review.readout()["derivedValue"] == HOSTILE[:60]
    assert float(review.readout()["parentValue"]) == parent[3, 10, 10]
    legend.first.get_by_role("checkbox").uncheck()
    assert review.settled().colour_at("derived", 10, 10)[1] == review.colour_at("derived", 10, 10)[2]
    page.locator("#derived canvas").focus()
    review.press("Home")
    assert review.colour_at("derived", 25, 5)[1] == review.colour_at("derived", 25, 5)[2]  # no segment in slice 1


def test_the_keyboard_alone(page: Page, server: OrthancServer, ct: str, smoothed: str) -> None:
    parent = values(server.download(ct))
    review = ReviewPage(page, server, smoothed)
    review.press("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown")
    words = page.locator("#readout").inner_text()
    row, column = (int(re.findall(rf"{word} (\d+)", words)[0]) - 1 for word in ("row", "column"))
    assert float(review.readout()["parentValue"]) == parent[3, row, column]
    before = page.evaluate("window.review.zoom")
    review.press("+", "+", "Control+ArrowRight")
    assert page.evaluate("window.review.zoom") > 1.5 * before
    review.press("?")
    expect(page.locator("#help")).to_contain_text("slice by slice")
    review.press("?", "t")
    expect(page.locator("#tags tr").nth(10)).to_be_attached()
    review.press("?")
    expect(page.locator("#help h2")).to_be_in_viewport(ratio=1)  # below the tags, which take more than the window
    review.press("?", "t", "?")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#derived").get_by_label("window width")).to_be_focused()
    page.get_by_role("button", name="Difference").focus()
    review.press("Enter")
    assert review.mode() == "difference"
    expect(page.get_by_role("button", name="Difference")).to_have_attribute("aria-pressed", "true")


def test_the_way_to_the_other_pages_is_there_even_where_nothing_can_be_shown(
    page: Page, server: OrthancServer, ct: str, smoothed: str
) -> None:
    ReviewPage(page, server, smoothed)
    expect(page.get_by_role("link", name="Derive from the parent")).to_have_attribute(
        "href", re.compile(f"series={ct}")
    )
    page.goto(f"{server.url}/derived-series/review/{ct}")
    expect(page.locator("#status")).to_contain_text("Nothing tells what this series was derived from")
    page.get_by_role("link", name="Jobs and derived series").click()
    expect(page.locator("#jobs-title")).to_be_visible()


def test_the_mouse_scrolls_pans_and_windows(page: Page, server: OrthancServer, smoothed: str) -> None:
    review = ReviewPage(page, server, smoothed).cursor_to("parent", 20, 16)
    page.mouse.wheel(0, -120)
    assert review.settled().pane("derived")["slice"] == "4"
    page.mouse.wheel(0, 120)
    assert review.settled().pane("parent")["slice"] == "3"
    before = review.readout()["mm"].split()
    page.mouse.down()
    page.mouse.move(300, 500, steps=3)
    page.mouse.up()
    after = review.settled().readout()["mm"].split()  # the picture went with the mouse
    assert [float(part) for part in after] == pytest.approx([float(part) for part in before], abs=0.05)
    page.mouse.down(button="right")
    page.mouse.move(400, 400, steps=3)
    page.mouse.up(button="right")
    shown = review.settled().pane("derived")
    assert float(shown["windowCentre"]) > 40 and float(shown["windowWidth"]) > 80


def test_of_several_inputs_the_series_of_the_url_is_compared(
    page: Page, orthanc_installed: None, tmp_path: Path
) -> None:
    """With the one worker busy: a page has a worker of its own then."""
    server = OrthancServer(tmp_path, settings(tmp_path / "library", Workers=1))
    try:
        server.start()
        first = server.upload(ct_phantom(3, 32, 32))
        second = server.upload(ct_phantom(3, 32, 32, series="other", series_number=9))
        derived = derive(server, first, Pipeline="sum", Inputs={"second": second})["ID"]
        busy = submit(server, first, Pipeline="plain", Parameters={"Seconds": 60})
        until(server, busy, {"Running"})
        review = ReviewPage(page, server, derived)
        expect(page.locator("#of-parent select")).to_have_value(first)
        assert job(server, busy)["State"] == "Running"
        review.page.locator("#of-parent select").select_option(second)
        page.wait_for_url(f"**?parent={second}")
        expect(page.locator("#of-parent a")).to_contain_text("9 · CT")
        server.json(f"/derived-series/jobs/{busy}/cancel", "POST", data="{}")
    finally:
        page.goto("about:blank")  # it still reads slices
        server.close()
    assert server.survivors == []


def test_a_fault_of_the_page_is_said(browser: Browser, server: OrthancServer, smoothed: str) -> None:
    """Where it cannot draw, a pane is black, as an image may be."""
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    ReviewPage(page, server, smoothed)
    page.evaluate("""() => {
        window.review.sliceOf = () => { throw new Error("the pen is dry"); };
        window.review.draw();
    }""")
    expect(page.locator("#status")).to_contain_text("The page cannot go on: the pen is dry")
    expect(page.locator("#status")).to_contain_text("not to be judged")
    expect(page.locator("#status")).to_have_class("error")
    assert page.evaluate("document.body.dataset.ready") == "failed" and faults
    context.close()


def test_what_cannot_be_reviewed_is_said(page: Page, server: OrthancServer, ct: str, smoothed: str) -> None:
    page.goto(f"{server.url}/derived-series/review/{ct}")
    expect(page.locator("#status")).to_contain_text("?parent=")
    assert server.json(f"/series/{ct}/sources") == {"ID": ct, "Parents": [], "Provenance": None}
    ReviewPage(page, server, ct, f"?parent={smoothed}")
    assert smoothed in (page.locator("#of-parent a").get_attribute("href") or "")
    for query, word in (("orientation=Up", "orientation"), ("orientation=1,2", "orientation"), ("part=Half", "part")):
        answer = server.get(f"/series/{ct}/manifest?{query}")
        assert answer.status_code == 400 and word in answer.json()["Message"]
    assert server.json(f"/series/{ct}/manifest?orientation=1,0,0,0,1,0")["ID"] == ct
    instance = server.json(f"/series/{ct}")["Instances"][0]
    assert (
        server.get(f"/instances/{instance}/pixels/0/1").content
        == server.get(f"/instances/{instance}/frames/0/raw").content
    )
    for path, status in (
        *((f"{instance}/pixels/1/1", 400), (f"{instance}/pixels/x/1", 400)),
        *((f"{smoothed}/pixels/0/1", 404), ("a/pixels/0/1", 404)),
    ):
        assert server.get(f"/instances/{path}").status_code == status


def test_units_and_slices_that_are_not_parallel(page: Page, server: OrthancServer, ct: str) -> None:
    """A parametric map in its own units, which then is compared with a sagittal series of the study."""
    voxels = values(server.download(ct))
    options = {"X-Derived-Series-Options": json.dumps({"Units": "mm2/s"})}
    path = f"/series/{ct}/derive/parametric_map/parametric_map"
    derived = server.json(path, "POST", data=npy(voxels / np.float32(7)), headers=options)["ID"]
    review = ReviewPage(page, server, derived).press("ArrowUp", "d").cursor_to("derived", 20, 16)
    assert float(review.readout()["derivedValue"]) == pytest.approx(voxels[4, 20, 16] / 7, rel=1e-6)
    expect(page.locator("#readout")).to_contain_text("mm²/s")
    expect(page.locator("#difference .caption")).to_have_text("different units: mm²/s − HU")
    assert [page.locator(f"#derived .edge.{edge}").inner_text() for edge in ("left", "top")] == ["R", "A"]
    sagittal = server.upload(mr_phantom(8, 24, 24, series="sagittal"))
    review = ReviewPage(page, server, derived, f"?parent={sagittal}")
    expect(page.locator("#warnings")).to_contain_text("not parallel")
    assert [page.locator(f"#parent .edge.{edge}").inner_text() for edge in ("left", "top")] == ["A", "H"]
    parent = ParentSeries.from_datasets(server.download(sagittal))
    review.press("ArrowUp").cursor_to("derived", 20, 16)
    there = np.linalg.solve(parent.affine_lps, [*map(float, review.readout()["mm"].split()), 1])[:3]
    assert float(review.readout()["parentValue"]) == parent.voxels()[tuple(np.rint(there).astype(int))]
    review.press("Space")
    assert review.mode() == "fade" and review.pane("combined")["shown"] == review.pane("derived")["shown"]


def test_grids_are_compared_in_the_browser(page: Page, server: OrthancServer) -> None:
    """Pure functions of geometry.js: uneven gaps, what is half a gap away, and grids that differ by little."""
    page.goto(f"{server.url}/system")
    compared = page.evaluate(
        """async () => {
        const { Stack, differences, pixelMap } = await import("/derived-series/app/review/geometry.js");
        const grid = (z, more = {}) => ({ RowCosines: [1, 0, 0], ColumnCosines: [0, 1, 0], PixelSpacing: [2, 1],
            Positions: z.map(each => [5, 6, each]), SliceThickness: 3, ...more });
        const uneven = new Stack(grid([0, 1, 5]), 4, 3), one = new Stack(grid([7]), 4, 3);
        const moved = new Stack(grid([0, 1, 5], { Positions: [[5.5, 6, 0], [5.5, 6, 1], [5.5, 6, 5]] }), 4, 3);
        const turned = by => new Stack(grid([0, 1, 5], { ColumnCosines: [0, Math.cos(by), Math.sin(by)] }), 4, 3);
        const back = new Stack(grid([-5, -1, 0], { RowCosines: [-1, 0, 0] }), 4, 3);
        return {
            at: [-0.6, -0.4, 0.4, 0.6, 2.9, 3.1, 6.9, 7.1].map(z => uneven.sliceAt([0, 0, z])),
            alone: [5.4, 5.6, 8.4].map(z => one.sliceAt([0, 0, z])),
            voxel: uneven.voxelAt([6.4, 9.1, 5]), outside: uneven.voxelAt([4.4, 6, 0]),
            same: differences(uneven, uneven), moved: differences(uneven, moved), back: differences(uneven, back),
            turned: [0.001, 0.0175].map(by => differences(uneven, turned(by)).join().includes("of the slices")),
            map: pixelMap(uneven, 0, moved, 0),
        };
    }"""
    )
    assert compared["at"] == [-1, 0, 0, 1, 1, 2, 2, -1] and compared["alone"] == [-1, 0, 0]
    assert compared["voxel"] == {"slice": 2, "row": 2, "column": 1} and compared["outside"] is None
    assert (
        compared["same"] == []
        and compared["moved"] == ["position"]
        and compared["back"][0] == "orientation in the plane"
    )
    assert compared["turned"] == [False, True], "by a degree, and by less than rounded cosines"
    assert compared["map"] == {"start": [0, -0.5], "byRow": [1, 0], "byColumn": [0, 1]}


@takes_a_picture
def test_the_picture_of_the_readme(page: Page, server: OrthancServer) -> None:
    parent = server.upload(ct_phantom(24, 256, 256, pixel_spacing=(0.8, 0.8), patient_id="PHANTOM-2", series="picture"))
    derived = derive(server, parent, Pipeline="gaussian_smoothing", SeriesDescription="Smoothed")["ID"]
    review = ReviewPage(page, server, derived).press("d", "t", "ArrowUp").cursor_to("derived", 120, 140)
    expect(page.locator("#tags tr[data-kind='changed']").first).to_be_visible()
    review.settled()
    save(page, "review.png")


@needs_series("mr_perslice_rescale_nonsquare", "mr_mosaic_siemens_2vol", "mr_sag_siemens_rle_4sl")
@pytest.mark.parametrize("name", ["mr_perslice_rescale_nonsquare", "mr_mosaic_siemens_2vol", "mr_sag_siemens_rle_4sl"])
def test_real_series(page: Page, server: OrthancServer, name: str) -> None:
    series = server.upload(series_datasets(name))
    voxels = values(server.download(series)).reshape((-1, *values(server.download(series)).shape[-3:]))
    review = (
        ReviewPage(page, server, series, f"?parent={series}").press("ArrowRight", "ArrowUp").cursor_to("parent", 12, 20)
    )
    shown = review.pane("parent")
    wanted = voxels[int(shown["time"]), int(shown["slice"]), 12, 20]
    for side in ("parent", "derived"):
        assert float(review.readout()[f"{side}Value"]) == pytest.approx(wanted, rel=1e-6)
