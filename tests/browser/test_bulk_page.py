"""The page of runs over many series: look, start, pause, the table, and deciding about what was compared."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from accessibility import violations, width_beside_the_screen
from orthanc_server import OrthancServer
from phantoms import ct_phantom, mr_phantom
from server_fixtures import derive, settings


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("orthanc")
    with OrthancServer(folder, settings(folder / "library")) as server:
        yield server


def test_a_run_is_looked_at_begun_paused_and_shown(page: Page, server: OrthancServer) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(3, patient_id="B1"))
    mr = server.upload(mr_phantom(3, patient_id="B2", study="2"))
    server.upload(ct_phantom(3, patient_id="C3", study="3"))
    page.goto(f"{server.url}/derived-series/bulk.html")
    page.get_by_label("PatientID").fill("B*")
    page.get_by_label("Pipeline", exact=True).select_option("suv_body_weight")
    page.get_by_role("button", name="Which series?").click()
    expect(page.locator("#dry-words")).to_contain_text("0 would be derived from, 2 would not")
    expect(page.locator("#dry-table tbody tr").first).to_contain_text("which wants")
    page.get_by_label("Pipeline", exact=True).select_option("gaussian_smoothing")
    page.get_by_label("Hours").fill("20-06")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#hours:invalid")).to_be_focused()
    assert server.json("/derived-series/bulk") == []
    page.get_by_label("Hours").fill("")
    page.get_by_label("Name of the run").fill('<script>alert("1")</script>')
    page.get_by_role("button", name="Start").click()
    row = page.locator("#runs tr").first
    expect(row).to_contain_text("2 of 2 (2 Success)")
    expect(row).to_contain_text('<script>alert("1")</script>')
    row.get_by_role("button", name="Series").click()
    expect(page.locator("#table tbody tr")).to_have_count(2)
    for parent in (ct, mr):
        (derived,) = server.json(f"/series/{parent}/derived")
        assert derived["Provenance"]["Pipeline"] == "gaussian_smoothing"
    with page.expect_download() as download:
        row.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text("utf-8").count("Success") == 2
    row.get_by_role("button", name="Forget").click()
    expect(page.locator("#no-runs")).to_be_visible()
    expect(page.locator("#members")).to_be_hidden()


def test_studies_of_the_address_are_those_of_the_run_and_it_is_paused(page: Page, server: OrthancServer) -> None:
    server.delete_all()
    series = [server.upload(ct_phantom(3, patient_id=f"P{each}", study=str(each))) for each in (1, 2)]
    studies = [server.json(f"/series/{each}")["ParentStudy"] for each in series]
    page.goto(f"{server.url}/derived-series/bulk.html?studies={','.join(studies)}")
    expect(page.get_by_label("Identifiers")).to_have_value("\n".join(studies))
    page.get_by_label("Pipeline", exact=True).select_option("plain")
    page.get_by_label("Seconds").fill("600")
    page.get_by_role("button", name="Start").click()
    row = page.locator("#runs tr").first
    expect(row).to_contain_text("0 of 2")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("Paused")
    row.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("Running")
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("2 of 2 (2 Cancelled)")


def test_what_was_made_again_is_replaced_when_it_is_ticked(page: Page, server: OrthancServer) -> None:
    server.delete_all()
    parent = server.upload(ct_phantom(3))
    former = derive(server, parent, Pipeline="gaussian_smoothing")["ID"]
    metadata = f"/series/{former}/metadata/4300"
    provenance = server.json(metadata)
    provenance["Code"]["Sha256"] = "0" * 64  # as another version would have written it
    assert server.put(metadata, data=json.dumps(provenance)).status_code == 200
    page.goto(f"{server.url}/derived-series/bulk.html")
    page.get_by_label("Make again").check()
    page.get_by_label("Pipeline", exact=True).select_option("gaussian_smoothing")
    expect(page.locator("#parameters")).to_be_hidden()
    page.get_by_role("button", name="Start").click()
    row = page.locator("#runs tr").first
    expect(row).to_contain_text("1 agree, 0 do not")
    row.get_by_role("button", name="Series").click()
    expect(page.locator("#table tbody tr")).to_contain_text("relative difference 0, largest difference 0")
    assert former in server.series_ids()
    page.get_by_label("Series 1", exact=True).check()
    page.get_by_role("button", name="Replace those ticked").click()
    expect(page.locator("#table tbody tr")).to_contain_text("Replaced")
    assert former not in server.series_ids() and len(server.series_ids()) == 2
    (reference,) = server.series_ids() - {parent}
    page.get_by_label("Compare with references").check()
    page.get_by_label("Parents and references").fill(f"{parent} {reference}\n\n")
    page.get_by_label("SigmaMm").fill("4")
    page.get_by_label("Largest difference", exact=True).fill("0.5")
    page.get_by_role("button", name="Start").click()
    row = page.locator("#runs tr").first
    expect(row).to_contain_text("compared with references")
    expect(row).to_contain_text("0 agree, 1 do not")
    page.get_by_role("button", name="Which series?").click()
    expect(page.locator("#dry-table tbody tr")).to_have_count(1)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
    page.set_viewport_size({"width": 390, "height": 844})
    assert width_beside_the_screen(page) == 0 and violations(page) == []
    with page.expect_download() as download:
        row.get_by_role("link", name="Report").click()
    text = download.value.path().read_text("utf-8")
    assert "FAILED: 0 of 1" in text and reference in text and "largest difference at most 0.5" in text
