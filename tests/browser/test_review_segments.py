"""The review page with many segments and warnings, in a real Chromium on a real Orthanc."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Request, expect

from orthanc_server import OrthancServer
from phantoms import ct_phantom
from review_page import ReviewPage
from server_fixtures import npy

SLICES, SIDE, SEGMENTS = 30, 48, 64
#: Where the segments lie: each in a square of its own, in ten slices.
SQUARE = SIDE // 8


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    with OrthancServer(tmp_path_factory.mktemp("segments")) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def parent(server: OrthancServer) -> str:
    return server.upload(ct_phantom(SLICES, SIDE, SIDE))


@pytest.fixture(scope="module")
def labels() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    label_map = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    for segment in range(SEGMENTS):
        row, column = (SQUARE * part for part in divmod(segment, 8))
        first = segment % 3 * 10
        label_map[first : first + 10, row : row + SQUARE, column : column + SQUARE] = segment + 1
    return label_map


@pytest.fixture(scope="module")
def derived(server: OrthancServer, parent: str, labels: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]) -> str:
    return str(server.json(f"/series/{parent}/derive/segmentation/segmentation", "POST", data=npy(labels))["ID"])


@pytest.fixture
def asked(page: Page) -> list[list[int]]:
    """The frames of each request for decoded ones."""
    requests: list[list[int]] = []

    def note(request: Request) -> None:
        if "/pixels/" in request.url:
            requests.append([int(number) for number in request.url.split("/")[-2].split(",")])

    page.on("request", note)
    return requests


def is_coloured(review: ReviewPage, segment: int) -> bool:
    row, column = (SQUARE * part + SQUARE // 2 for part in divmod(segment - 1, 8))
    red, green, blue = review.colour_at("derived", row, column)
    return not red == green == blue


def test_each_slice_shows_its_segments(page: Page, server: OrthancServer, derived: str) -> None:
    review = ReviewPage(page, server, derived)
    for keys, there in (([], 1), (["PageUp"], 2), (["Home"], 0)):
        review.press(*keys)
        shown = [segment for segment in range(1, SEGMENTS + 1) if is_coloured(review, segment)]
        assert shown == [segment for segment in range(1, SEGMENTS + 1) if (segment - 1) % 3 == there]


def test_the_frames_of_a_slice_come_in_one_answer(
    page: Page, server: OrthancServer, derived: str, asked: list[list[int]]
) -> None:
    ReviewPage(page, server, derived)
    manifest_of_frames = page.evaluate("window.review.sides.overlay.series.Frames.Slice")
    shown = page.evaluate("window.review.sides.overlay.stack.sliceAt(window.review.point)")
    wanted = {number for number, slice_ in enumerate(manifest_of_frames) if slice_ == shown}
    assert len(wanted) > 20 and set(asked[0]) == wanted, "those of the slice that is looked at, at first and together"
    page.wait_for_function(
        "() => window.review.sides.overlay.frames.every((_, slice) => window.review.sides.overlay.has(slice))"
    )
    together = [number for numbers in asked for number in numbers]
    assert sorted(together) == list(range(len(manifest_of_frames))), "each frame once"


def test_all_and_none(page: Page, server: OrthancServer, derived: str) -> None:
    review = ReviewPage(page, server, derived)
    assert is_coloured(review, 2)
    page.get_by_role("button", name="None").click()
    assert not is_coloured(review.settled(), 2) and page.locator("#segments li input:checked").count() == 0
    page.locator("#segments li input").nth(1).check()
    assert is_coloured(review.settled(), 2) and not is_coloured(review, 5)
    page.get_by_role("button", name="All").click()
    assert is_coloured(review.settled(), 5) and page.locator("#segments li input:checked").count() == SEGMENTS


def test_a_label_map_shows_its_segments_by_name_and_colour(
    page: Page, server: OrthancServer, parent: str, labels: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
) -> None:
    described = [{"Number": n, "Label": f"Part {n}", "Type": "10200004", "Color": "#00c000"} for n in (1, 2, 64)]
    options = {"X-Derived-Series-Options": json.dumps({"Segments": described})}
    path = f"/series/{parent}/derive/label_map_segmentation/segmentation"
    review = ReviewPage(page, server, server.json(path, "POST", data=npy(labels), headers=options)["ID"])
    for keys, there in (([], 1), (["PageUp"], 2), (["Home"], 0)):
        review.press(*keys)
        shown = [segment for segment in range(1, SEGMENTS + 1) if is_coloured(review, segment)]
        assert shown == [segment for segment in range(1, SEGMENTS + 1) if (segment - 1) % 3 == there]
    red, green, blue = review.colour_at("derived", SQUARE // 2, SQUARE // 2)
    assert green > red + 50 and abs(red - blue) < 10, "in its own colour"
    review.cursor_to("derived", SQUARE // 2, SQUARE // 2)
    assert review.readout()["derivedValue"] == "Part 1"
    expect(page.locator("#segments li")).to_have_count(SEGMENTS)
    page.locator("#segments li input").first.uncheck()
    assert not is_coloured(review.settled(), 1) and is_coloured(review, 4)


def test_probabilities_are_seen_through(page: Page, server: OrthancServer, parent: str) -> None:
    image = np.zeros((1, SLICES, SIDE, SIDE), np.float32)
    image[:, :, :SQUARE], image[:, :, SQUARE : 2 * SQUARE] = 1, 0.3
    described = [{"Number": 1, "Label": "Likely", "Type": "10200004", "Color": "#00c000"}]
    options = {"X-Derived-Series-Options": json.dumps({"Segments": described})}
    path = f"/series/{parent}/derive/fractional_segmentation/segmentation"
    review = ReviewPage(page, server, server.json(path, "POST", data=npy(image), headers=options)["ID"])
    greens = []
    for row in (0, 1, 3):
        red, green, blue = review.colour_at("derived", row * SQUARE + SQUARE // 2, SIDE // 2)
        greens.append(green - (red + blue) // 2)
    assert greens[0] > greens[1] + 20 > 30 and greens[2] == 0


def test_warnings_are_folded_with_their_number(page: Page, server: OrthancServer, derived: str) -> None:
    ReviewPage(page, server, derived)
    count = len(server.json(f"/series/{derived}/metadata/4300")["Warnings"])
    assert count > 2, "ten of a kind and how many more, which is not a count of segments"
    summary = page.locator("#warnings summary")
    expect(summary).to_have_text(f"{count} warnings")
    expect(page.locator("#warnings li").first).to_be_hidden()
    summary.click()
    expect(page.locator("#warnings li").first).to_be_visible()
    expect(page.locator("#warnings li")).to_have_count(count)
    box = page.locator("#warnings").bounding_box()
    assert box is not None and box["height"] < 150, "it scrolls: the pictures stay in sight"


def test_what_was_used_longest_ago_goes_first(page: Page, server: OrthancServer, derived: str) -> None:
    ReviewPage(page, server, derived)
    script = """async (address) => {
        const { Cache } = await import(address);
        const cache = new Cache(3);
        for (const key of ["a", "b", "c"]) cache.set(key, {}, 1);
        cache.get("a");
        cache.peek("b"); // looking is no use
        cache.set("d", {}, 1);
        return [...cache.held.keys()];
    }"""
    assert page.evaluate(script, f"{server.url}/derived-series/app/review/images.js") == ["c", "a", "d"]


def test_what_is_shown_is_not_pushed_out_by_what_is_loaded_after_it(
    page: Page, server: OrthancServer, derived: str
) -> None:
    ReviewPage(page, server, derived)
    script = """async (address) => {
        const { Cache } = await import(address);
        const cache = new Cache(3);
        cache.get("shown"); // before it is there
        for (const key of ["a", "shown", "b", "c", "d", "e"]) cache.set(key, {}, 1);
        return [[...cache.held.keys()], cache.bytes];
    }"""
    address = f"{server.url}/derived-series/app/review/images.js"
    assert page.evaluate(script, address) == [["shown", "d", "e"], 3]


def test_what_is_shown_stays_while_others_are_loaded(page: Page, server: OrthancServer, derived: str) -> None:
    review = ReviewPage(page, server, derived)
    every = "() => window.review.sides.overlay.frames.every((_, slice) => window.review.sides.overlay.has(slice))"
    page.wait_for_function(every)
    page.evaluate("""() => {
        const { overlay } = window.review.sides;
        overlay.cache = new overlay.cache.constructor(8 * 22 * 288);
    }""")
    for key in ["Home", *["ArrowUp"] * 12, "PageUp", *["ArrowDown"] * 5]:
        review.press(key)
        slice_ = int(review.pane("derived")["slice"])
        assert is_coloured(review, slice_ // 10 + 1)
        assert page.evaluate("slice => window.review.sides.overlay.has(slice)", slice_)


def test_frames_of_a_large_instance_are_read_from_a_file_that_is_not_given_out_once_it_is_deleted(
    server: OrthancServer, parent: str
) -> None:
    image = np.random.default_rng(2).integers(0, 255, (24, 400, 300, 3), np.uint8, endpoint=True)
    derived = server.json(f"/series/{parent}/derive/multiframe_secondary_capture/numpy", "POST", data=npy(image))["ID"]
    (instance,) = server.json(f"/series/{derived}")["Instances"]
    address = FRAMES.format(instance=instance)
    for _ in range(2):
        frames = np.frombuffer(server.get(f"{address}/3,17/2").content, np.uint8).reshape(4, 400, 300, 3)
        assert np.array_equal(frames, image[[3, 4, 17, 18]])
    held = list(Path(server.folder).rglob("instance-*.dcm"))
    assert len(held) == 1 and held[0].stat().st_mode & 0o077 == 0
    server.delete(f"/instances/{instance}")
    assert server.get(f"{address}/0/1").status_code == 404


FRAMES = "/instances/{instance}/pixels"
