"""OHIF: how it is prepared and served; and, where ``make ohif`` has fetched it, that it shows parent and derived."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import ohif
from derived_series import ParentSeries
from derived_series.errors import NotFound
from derived_series.orthanc.http import Request
from derived_series.orthanc.routes.ohif import Ohif
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from screenshots import save, takes_a_picture
from server_fixtures import npy

INDEX = (
    '<html><head><script>window.PUBLIC_URL="/"</script><link rel="manifest" href="/manifest.json">'
    '<script rel="preload" src="/app-config.js"></script><script type="module" src="/init-service-worker.js"></script>'
    '<script defer src="/app.bundle.0123456789abcdef.js"></script></head></html>'
)
FILES = {
    "index.html": INDEX,
    "manifest.json": '{"icons": [{"src": "/assets/a.png"}]}',
    "app.bundle.0123456789abcdef.js": '/******/ __webpack_require__.p = "/";',
    "app.bundle.css": "@font-face{src:url(/a.woff2)}",
    "app-config.js": "window.config = {}",
    "sw.js": "",
    "init-service-worker.js": "",
    "app.js.map": "{}",
    "ort/model.wasm": "",
    "assets/a.png": "png",
    "../../outside.js": "",
}


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A viewer of a few lines, unpacked and rebased as the real one is."""
    archive, folder = tmp_path / "app.tgz", tmp_path / "ohif"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in FILES.items():
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    ohif.unpack(archive, folder)
    ohif.rebase(folder)
    return folder


def test_what_is_left_of_the_package_runs_under_any_path(prepared: Path) -> None:
    files = {path.relative_to(prepared).as_posix() for path in prepared.rglob("*") if path.is_file()}
    assert files == {
        *("index.html", "manifest.json", "app.bundle.0123456789abcdef.js", "app.bundle.css", "assets/a.png")
    }
    index = (prepared / "index.html").read_text()
    assert re.findall(r'(?:src|href)="([^"]*)"', index) == [
        *("manifest.json", "../derived-series/app/ohif/ohif-config.js", "app.bundle.0123456789abcdef.js")
    ]
    assert "<script>" not in index
    assert '= "/"' not in (prepared / "app.bundle.0123456789abcdef.js").read_text()
    assert "url(a.woff2)" in (prepared / "app.bundle.css").read_text()
    assert json.loads((prepared / "manifest.json").read_text())["icons"][0]["src"] == "assets/a.png"


def test_the_viewers_files_are_served_and_nothing_else(prepared: Path) -> None:
    viewer = Ohif(prepared)
    for name, kind, cache in (
        ("app.bundle.0123456789abcdef.js", "text/javascript; charset=utf-8", "immutable"),
        ("app.bundle.css", "text/css", "no-cache"),
        ("assets/a.png", "image/png", "no-cache"),
    ):
        answer = viewer.file(Request("GET", "", (name,)))
        assert answer.body == (prepared / name).read_bytes()
        assert answer.content_type == kind and cache in answer.headers["Cache-Control"]
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    for name in ("", "viewer", "viewer/dicomweb"):
        assert viewer.file(Request("GET", "", (name,))).body == (prepared / "index.html").read_bytes()
    for name in ("../app.tgz", "nothing.js", "/etc/ld.so.conf"):
        with pytest.raises(NotFound):
            viewer.file(Request("GET", "", (name,)))


@pytest.mark.parametrize("folder", [None, Path("nowhere")])
def test_a_viewer_that_is_not_there_is_not_served(folder: Path | None) -> None:
    viewer = Ohif(folder)
    assert not viewer.is_installed
    with pytest.raises(NotFound, match="not installed") as caught:
        viewer.file(Request("GET", "", ("",)))
    assert "make ohif" in str(caught.value.remedy)


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    if not (ohif.FOLDER / "index.html").exists():
        pytest.skip("OHIF is not installed (make ohif)")
    folders = [str(Path(__file__).resolve().parents[2] / "blueprints")]
    changes = {"DerivedSeries": {"BlueprintFolders": folders, "OhifFolder": str(ohif.FOLDER), "Workers": 1}}
    with OrthancServer(tmp_path_factory.mktemp("orthanc"), changes) as server:
        yield server


@pytest.fixture(scope="module")
def parent(server: OrthancServer) -> str:
    return server.upload(ct_phantom(slices=9))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that no foreign host may be asked from; what OHIF writes to the console is not ours."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    browser_page, foreign = context.new_page(), list[str]()
    ours = ("http://127.0.0.1:", "data:", "blob:", "about:")
    browser_page.on("request", lambda request: None if request.url.startswith(ours) else foreign.append(request.url))
    try:
        yield browser_page
    finally:
        context.close()
    assert foreign == []


def shown(page: Page, server: OrthancServer, series: str) -> tuple[Locator, Locator]:
    """Both viewports' overlays, once they show a slice."""
    assert server.json("/derived-series/status")["Ohif"] is True
    page.goto(f"{server.url}/derived-series/review/{series}")
    link = page.get_by_role("link", name="Open in OHIF")
    expect(link).to_be_visible()
    page.goto(link.get_attribute("href") or "")
    left, right = (page.locator(f"[data-viewportid={name}]").locator("xpath=..") for name in ("parent", "derived"))
    for overlay in (left, right):
        expect(overlay.get_by_text(re.compile(r"^-?\d+\.\d mm$"))).to_be_visible(timeout=60_000)
    return left, right


def millimetres(overlay: Locator) -> float:
    return float(overlay.get_by_text(re.compile(r"^-?\d+\.\d mm$")).inner_text().removesuffix(" mm"))


def scroll(page: Page, overlay: Locator, notches: int) -> None:
    overlay.hover()
    for _ in range(abs(notches)):
        page.mouse.wheel(0, 100 if notches > 0 else -100)
        page.wait_for_timeout(150)


def agree(page: Page, left: Locator, right: Locator, within: float) -> tuple[float, float]:
    """The positions of both, once they are the same place."""
    for _ in range(40):
        positions = millimetres(left), millimetres(right)
        if abs(positions[0] - positions[1]) <= within:
            return positions
        page.wait_for_timeout(100)
    raise AssertionError(f"parent at {positions[0]} mm, derived at {positions[1]} mm")


def test_both_show_the_same_place_while_one_is_scrolled(page: Page, server: OrthancServer, parent: str) -> None:
    """The derived series has every second slice: equal places, not equal numbers."""
    there = ParentSeries.from_datasets(server.download(parent))
    affine = there.affine_ras[:, [2, 1, 0, 3]]
    affine[:3, 2] *= 2
    image = nibabel.Nifti1Image(there.voxels()[::2].transpose(2, 1, 0), affine)
    body = image.to_bytes()
    series = server.json(f"/series/{parent}/derive/ct/nifti", "POST", data=body)["ID"]
    left, right = shown(page, server, series)
    begin, _ = agree(page, left, right, within=0.05)
    scroll(page, left, 2)
    moved, _ = agree(page, left, right, within=0.05)
    assert abs(moved - begin) > 1
    scroll(page, right, -2)
    back, _ = agree(page, left, right, within=0.05)
    assert abs(back - moved) > 1


@pytest.mark.parametrize("blueprint", ["segmentation", "label_map_segmentation"])
def test_a_segmentation_is_drawn_over_its_parent(
    page: Page, server: OrthancServer, parent: str, blueprint: str
) -> None:
    mask = np.zeros(ParentSeries.from_datasets(server.download(parent)).shape, np.uint8)
    mask[:, 8:16, 6:12] = 1
    segments = [{"Number": 1, "Label": "Left", "Type": "10200004", "Category": "91723000", "Color": "#00aa00"}]
    options = {"X-Derived-Series-Options": json.dumps({"Segments": segments})}
    answer: Any = server.json(
        f"/series/{parent}/derive/{blueprint}/segmentation", "POST", data=npy(mask), headers=options
    )
    left, right = shown(page, server, answer["ID"])
    agree(page, left, right, within=0.05)
    assert greens(page, right) > 1000 and greens(page, left) == 0


def greens(page: Page, viewport: Locator) -> int:
    """Pixels of a viewport that are green rather than grey, once it is drawn."""
    from matplotlib.image import imread

    page.wait_for_timeout(2000)
    picture = imread(io.BytesIO(viewport.screenshot()), format="png")[..., :3]
    return int(((picture[..., 1] - picture[..., 0] > 0.2) & (picture[..., 1] - picture[..., 2] > 0.2)).sum())


def lit(page: Page) -> int:
    """Pixels of the viewports that are not black, without their frames."""
    from matplotlib.image import imread

    box = page.locator('[data-cy="viewport-grid"]').bounding_box()
    assert box is not None
    inner = {"x": box["x"] + 12, "y": box["y"] + 12, "width": box["width"] - 24, "height": box["height"] - 24}
    picture = imread(io.BytesIO(page.screenshot(clip=inner)), format="png")[..., :3]  # type: ignore[arg-type]
    return int((picture.max(axis=2) > 0.15).sum())


def eventually_lit(page: Page, is_lit: bool) -> bool:
    """Whether something, or nothing, is drawn in the end."""
    for _ in range(60):
        if (lit(page) > 0) == is_lit:
            return True
        page.wait_for_timeout(250)
    return False


def test_a_report_is_listed_and_nothing_of_it_is_drawn(page: Page, server: OrthancServer, parent: str) -> None:
    """As docs/reference.md says: OHIF shows measurements that have coordinates, and these refer to segments."""
    measured = [{"Of": "Liver", "Concept": "118565006", "Value": 1432.5, "Unit": "ml", "Finding": "Liver"}]
    address = f"/series/{parent}/derive/measurement_report/measurement_report"
    server.json(address, "POST", data=json.dumps(measured).encode())
    study = server.json(f"/series/{parent}/study")["MainDicomTags"]["StudyInstanceUID"]
    page.goto(f"{server.url}/derived-series-ohif/viewer?StudyInstanceUIDs={study}")
    entry = page.locator('[data-cy="study-browser-thumbnail-no-image"]').filter(has_text="measurement_report")
    expect(entry).to_be_visible(timeout=60_000)
    expect(entry).to_contain_text("SR")
    assert eventually_lit(page, True), "the study's images"
    entry.dblclick()
    assert eventually_lit(page, False)
    expect(page.get_by_text("1432.5")).to_have_count(0)


@takes_a_picture
def test_the_picture_of_the_readme(page: Page, server: OrthancServer) -> None:
    parent = server.upload(ct_phantom(24, 256, 256, pixel_spacing=(0.8, 0.8), patient_id="PHANTOM-2", series="picture"))
    derived = server.json(f"/series/{parent}/derive", "POST", json={"Pipeline": "gaussian_smoothing"})["ID"]
    left, right = shown(page, server, derived)
    scroll(page, left, 3)
    agree(page, left, right, 0.1)
    page.wait_for_timeout(2000)  # thumbnails
    save(page, "ohif.png")
