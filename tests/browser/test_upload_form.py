"""The form for an image file, for inputs of other servers, and its list of pipelines: Chromium on a real Orthanc."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Iterator

import nibabel
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from derived_series import ParentSeries
from orthanc_server import OrthancServer
from phantoms import ct_phantom, encode
from server_fixtures import npy, settings

SLICES, ROWS, COLUMNS = 4, 32, 24
BASE64_FILE = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    return transfer;
}"""


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("orthanc")
    changes = settings(folder / "library", MaxImageMB=1)
    with OrthancServer(folder, {**changes, "DicomModalities": {"pacs": ["PACS", "127.0.0.1", 1]}}) as server:
        yield server


@pytest.fixture
def ct(server: OrthancServer) -> str:
    server.delete_all()
    return server.upload(ct_phantom(slices=SLICES, rows=ROWS, columns=COLUMNS))


@pytest.fixture
def posted(page: Page) -> list[str]:
    """The addresses to which the page sends something."""
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url) if request.method == "POST" else None)
    return addresses


def nifti(server: OrthancServer, series: str, factor: float) -> bytes:
    """The parent's values times a factor, as a compressed file."""
    parent = ParentSeries.from_datasets(server.download(series))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ parent.affine_lps[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image((parent.voxels() * factor).astype(np.float32).transpose(2, 1, 0), affine)
    return gzip.compress(image.to_bytes())


def drop(place: Locator, name: str, content: bytes) -> None:
    transfer = place.page.evaluate_handle(BASE64_FILE, [name, base64.b64encode(content).decode()])
    for event in ("dragover", "drop"):
        place.dispatch_event(event, {"dataTransfer": transfer})


def choose(page: Page, name: str, content: bytes) -> None:
    page.locator("#image-file").set_input_files({"name": name, "mimeType": "", "buffer": content})


def open_for_file(page: Page, server: OrthancServer, series: str) -> None:
    page.goto(f"{server.url}/derived-series/derive.html?series={series}")
    page.get_by_label("An image file").check()
    expect(page.locator("#image-blueprint option").first).to_be_attached()


def test_a_file_is_dropped_onto_its_parent_and_stored(page: Page, server: OrthancServer, ct: str) -> None:
    study = server.json(f"/series/{ct}")["ParentStudy"]
    page.goto(f"{server.url}/derived-series/derive.html?study={study}")
    drop(page.locator("#choice li", has_text="3 · CT · Head 2.5 H31s"), "halved.nii.gz", nifti(server, ct, 0.5))
    expect(page.locator("#image-about")).to_contain_text(f"halved.nii.gz: compressed file (.gz), {COLUMNS} × {ROWS} × ")
    expect(page).to_have_url(f"{server.url}/derived-series/derive.html?series={ct}")
    expect(page.locator("#image-blueprint")).to_have_value("ct")  # of the blueprints, one for the parent's modality
    names = {each["Name"]: each["Description"] for each in server.json("/derived-series/blueprints?expand")}
    chosen = page.locator("#image-blueprint option:checked")
    expect(chosen).to_have_text(f"ct: {names['ct']}")  # in full, and with room for it
    page.get_by_label("Series description").fill("x")
    widths = [page.locator(name).bounding_box() for name in ("#image-blueprint", "#image-description")]
    assert widths[0] and widths[1] and widths[0]["width"] > widths[1]["width"] + 100
    page.get_by_label("Series description").fill("Halved – ½")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview img")).to_be_visible()
    expect(page.locator("#preview")).to_contain_text("Halved – ½")
    assert server.series_ids() == {ct}
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#review-link")).to_be_focused()
    expect(page.locator("#done")).to_contain_text("CT · Halved – ½")
    (derived,) = server.series_ids() - {ct}
    values = [ParentSeries.from_datasets(server.download(each)).voxels() for each in (ct, derived)]
    np.testing.assert_allclose(values[1], values[0] * 0.5, atol=0.01)
    page.get_by_label("gaussian_smoothing").check()  # and back to a pipeline
    expect(page.locator("#file")).to_be_hidden()
    drop(page.locator("body"), "labels.npy", npy(np.ones((SLICES, ROWS, COLUMNS), np.uint8)))
    expect(page.get_by_label("An image file")).to_be_checked()
    page.locator("#image-blueprint").select_option("segmentation")
    page.get_by_label("Names of the labels").select_option("totalsegmentator")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#done")).to_contain_text("SEG")


def test_what_is_wrong_with_a_file_is_said_before_it_is_sent(
    page: Page, server: OrthancServer, ct: str, posted: list[str]
) -> None:
    open_for_file(page, server, ct)
    archive = io.BytesIO()
    np.savez(archive, np.zeros(3))
    objects = io.BytesIO()
    np.save(objects, np.array([None]), allow_pickle=True)
    dicom = encode(ct_phantom(slices=1)[0])
    right = npy(np.zeros((SLICES, ROWS, COLUMNS), np.int16))
    for name, content, words in (
        ("empty.npy", b"", "empty.npy is empty"),
        ("notes.txt", b"not an image", "notes.txt is not a file that a series can be made from"),
        ("IM1", dicom, "IM1 is a DICOM file. Upload it to Orthanc"),
        ("two.npz", archive.getvalue(), "two.npz is not taken: archive (.zip, .npz). Instead, write one array"),
        ("objects.npy", objects.getvalue(), "objects.npy holds Python objects"),
        ("short.npy", right[:-1], "short.npy is cut short"),
        ("damaged.nii.gz", gzip.compress(b"")[:4] + b"xxxxxxxxxxxx", "damaged.nii.gz is damaged"),
        ("text.nii.gz", gzip.compress(b"not an image"), "text.nii.gz is not a NIfTI file"),
        ("large.npy", npy(np.zeros(1 << 20, np.int16)), "large.npy has 2.1 MB; this server takes 1.05 MB at most"),
        (
            "swapped.npy",
            npy(np.zeros((SLICES, COLUMNS, ROWS), np.int16)),
            f"The array is {SLICES} × {COLUMNS} × {ROWS}; on the slices of this series it has to be "
            f"{SLICES} × {ROWS} × {COLUMNS} (slice, row, column)",
        ),
    ):
        choose(page, name, content)
        trouble = page.locator("#image-error")
        expect(trouble).to_contain_text(words.split(". ")[0])
        assert " ".join(trouble.inner_text().split()).startswith(words)
        page.get_by_role("button", name="Start").click()
        expect(page.locator("#image-file")).to_be_focused()
    expect(page.locator("#image-about")).to_contain_text(f"{SLICES} × {COLUMNS} × {ROWS} voxels, int16")
    page.locator("#image-blueprint").select_option("secondary_capture")  # of any shape
    expect(page.locator("#image-error")).to_be_empty()
    page.locator("#image-blueprint").select_option("encapsulated_pdf")
    expect(page.locator("#image-error")).to_contain_text("encapsulated_pdf is not made from a .npy file")
    choose(page, "report.pdf", b"%PDF-1.4\n")
    expect(page.locator("#image-error")).to_be_empty()
    assert posted == []


def test_what_only_the_server_can_know_is_its_word(page: Page, server: OrthancServer, ct: str) -> None:
    open_for_file(page, server, ct)
    affine = np.eye(4)
    affine[:3, 3] = 5000  # mm
    far_away = nibabel.Nifti1Image(np.zeros((COLUMNS, ROWS, SLICES), np.float32), affine)
    choose(page, "far.nii", far_away.to_bytes())
    expect(page.locator("#image-about")).to_contain_text("far.nii: NIfTI file")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#failure .error")).not_to_be_empty()
    expect(page.locator("#failure")).to_contain_text("mm")
    assert server.series_ids() == {ct}


def test_pipelines_are_in_groups_and_those_that_do_not_fit_are_folded(
    page: Page, server: OrthancServer, ct: str
) -> None:
    page.goto(f"{server.url}/derived-series/derive.html?series={ct}")
    ready = page.get_by_role("group", name="Pipelines that take this series")
    expect(ready).to_have_count(2)  # a folder each
    expect(ready.filter(has_text="/library").get_by_label("plain", exact=True)).to_be_enabled()
    expect(ready.filter(has_text="/blueprints").get_by_label("gaussian_smoothing")).to_be_enabled()
    expect(ready.filter(has_text="Makes mask, masked.")).to_have_count(1)
    rest = page.locator("#refused")
    expect(rest.locator(".reason").first).not_to_be_visible()
    rest.locator("summary").click()
    expect(rest.locator(".refused", has_text="suv_body_weight")).to_contain_text("Modality (0008,0060) is 'CT'")
    expect(rest.locator("input:enabled")).to_have_count(0)


def test_an_input_that_is_at_another_server(page: Page, server: OrthancServer, ct: str) -> None:
    """The pipeline's second input is not here: a server is asked, here one that does not answer."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.post_data or "") if request.method == "POST" else None)
    page.goto(f"{server.url}/derived-series/derive.html?series={ct}")
    expect(page.locator(".refused", has_text="Two inputs")).to_contain_text("Needs from another server: second")
    page.get_by_label("sum", exact=True).check()
    expect(page.locator("#input-second")).to_have_value("*")
    retrieval = page.get_by_role("group", name="second: exactly one series")
    retrieval.get_by_label("Description").fill("Thorax*")
    expect(retrieval.get_by_label("Server")).to_have_value("pacs")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#state")).to_have_text(re.compile("Is tried again: .*pacs"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#failure")).to_contain_text("cancelled")
    sent = json.loads(requests[0])
    assert sent["Retrieve"] == {"second": {"From": "pacs", "Query": {"SeriesDescription": "Thorax*"}}}
    assert sent["Inputs"] == {} and sent["Pipeline"] == "sum"
    assert server.series_ids() == {ct}
