"""Deriving through HTTP on a real Orthanc: what comes out, and what every error says. Nothing is stored in any."""

from __future__ import annotations

import base64
import concurrent.futures
import gzip
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from derived_series.dicom.source.parent_series import ParentSeries
from multiframe import enhanced
from orthanc_server import OrthancServer
from phantoms import ct_phantom, mr_phantom
from phantoms_4d import fmri_phantom
from server_fixtures import derive, finished, npy, settings, submit


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    keys = settings(folder / "library", JobTimeout=60, MaxImageMB=64, RetryPause=0.1)
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


@pytest.fixture
def empty(server: OrthancServer) -> OrthancServer:
    server.delete_all()
    return server


@pytest.fixture
def ct(empty: OrthancServer) -> str:
    return empty.upload(ct_phantom(slices=6))


def volume(slices: int = 6, rows: int = 32, columns: int = 24) -> Any:
    return np.arange(slices * rows * columns, dtype=np.int16).reshape(slices, rows, columns) - 1000


def test_the_status_tells_what_is_there_and_what_is_broken(server: OrthancServer) -> None:
    status = server.json("/derived-series/status")
    assert {"ct", "mr", "pet", "secondary_capture"} <= set(status["Blueprints"])
    assert {"gaussian_smoothing", "suv_body_weight", "plain"} <= set(status["Pipelines"])
    assert {"numpy", "nifti"} <= set(status["Factories"])
    (problem,) = status["Problems"]
    assert problem["File"].endswith("broken.py") and "nothing_of_this_name" in problem["Message"]


def test_the_library_is_listed_and_told(server: OrthancServer) -> None:
    assert "ct" in server.json("/derived-series/blueprints")
    expanded = server.json("/derived-series/blueprints?expand")
    assert {"Name", "Description", "Sha256", "Elements"} <= set(expanded[0])
    elements = server.json("/derived-series/blueprints/ct")["Elements"]
    assert {"Tag", "Keyword", "Element", "Blueprint"} == set(elements[0])
    pipeline = server.json("/derived-series/pipelines/gaussian_smoothing")
    assert "SigmaMm" in pipeline["Parameters"]["properties"] and pipeline["ParentInput"] == "image"
    assert "numpy" in server.json("/derived-series/factories")


def test_a_pipeline_makes_a_series_beside_its_parent(empty: OrthancServer, ct: str) -> None:
    answer = derive(empty, ct, Pipeline="gaussian_smoothing", Parameters={"SigmaMm": 2.0})
    assert answer["Path"] == f"/series/{answer['ID']}" and answer["ParentSeries"] == ct
    assert answer["InstancesCount"] == 6 and answer["Type"] == "Series"
    derived = empty.json(answer["Path"])
    assert derived["MainDicomTags"]["SeriesInstanceUID"] == answer["SeriesInstanceUID"]
    assert derived["ParentStudy"] == empty.json(f"/series/{ct}")["ParentStudy"]
    assert len(derived["Instances"]) == 6


@pytest.mark.parametrize("make", [ct_phantom, mr_phantom])
def test_an_image_that_is_sent_comes_back_exactly(empty: OrthancServer, make: Any) -> None:
    datasets = make(slices=6)
    series = empty.upload(datasets)
    blueprint = str(datasets[0].Modality).lower()
    answer = empty.json(f"/series/{series}/derive/{blueprint}/numpy", "POST", data=npy(volume()))
    derived = ParentSeries.from_datasets(empty.download(answer["ID"]))
    assert np.array_equal(derived.voxels(), volume())
    parent = ParentSeries.from_datasets(datasets)
    assert np.allclose(derived.affine_lps, parent.affine_lps, atol=1e-3)


def test_an_enhanced_mr_is_a_parent(empty: OrthancServer) -> None:
    """An image sent for it, and a pipeline on it: a classic series whose slices name their frames."""
    source = enhanced(mr_phantom(slices=6)[::-1])
    series = empty.upload([source])
    sent = empty.json(f"/series/{series}/derive/mr/numpy", "POST", data=npy(volume()))
    smoothed = derive(empty, series, Pipeline="gaussian_smoothing", Parameters={"SigmaMm": 2.0})
    assert sent["InstancesCount"] == smoothed["InstancesCount"] == 6
    derived = ParentSeries.from_datasets(empty.download(sent["ID"]))
    assert np.array_equal(derived.voxels(), volume())
    assert derived.grid == ParentSeries.from_datasets([source]).grid
    for index, dataset in enumerate(derived.instances):
        assert dataset.SOPClassUID == MRImageStorage
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert dataset.SourceImageSequence[0].ReferencedFrameNumber == 6 - index


def test_one_of_several_orientations_is_taken_when_asked(empty: OrthancServer) -> None:
    axial, sagittal = mr_phantom(slices=6, orientation="axial"), mr_phantom(slices=3, series="sagittal")
    for dataset in sagittal:
        dataset.SeriesInstanceUID = axial[0].SeriesInstanceUID
    series = empty.upload([*axial, *sagittal])
    request = {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 2.0}}
    refused = empty.post(f"/series/{series}/derive", json=request)
    assert refused.status_code == 422 and "(Axial)" in refused.json()["Message"]
    assert '"Orientation": "Axial" or "Sagittal"' in refused.json()["Remedy"]
    answer = derive(empty, series, Orientation="Axial", **request)
    assert answer["InstancesCount"] == 6
    assert answer["Warnings"] == ["3 of the parent's 9 instances are left out: the orientation Axial was chosen"]
    headers = json.dumps({"Orientation": [0, 1, 0, 0, 0, -1]})
    sent = empty.json(
        f"/series/{series}/derive/mr/numpy",
        "POST",
        data=npy(volume(3)),
        headers={"X-Derived-Series-Options": headers},
    )
    assert sent["InstancesCount"] == 3


@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_file_finds_its_slices(empty: OrthancServer, ct: str, packed: bool) -> None:
    parent = ParentSeries.from_datasets(empty.download(ct))
    image = parent.to_nifti().as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    data = image.to_bytes()
    answer = empty.json(f"/series/{ct}/derive/ct/nifti", "POST", data=gzip.compress(data) if packed else data)
    derived = ParentSeries.from_datasets(empty.download(answer["ID"]))
    assert np.abs(derived.voxels() - parent.voxels()).max() <= 0.5
    assert np.allclose(derived.affine_lps, parent.affine_lps, atol=1e-3)


def test_a_4d_nifti_file_becomes_a_4d_series(empty: OrthancServer) -> None:
    """Each volume from its own of the parent, though instances arrive in any order; and a smoothed one by pipeline."""
    series = empty.upload(fmri_phantom(3, 4)[::-1])
    parent = ParentSeries.from_datasets(empty.download(series))
    image = parent.to_nifti().as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    answer = empty.json(f"/series/{series}/derive/mr/nifti", "POST", data=gzip.compress(image.to_bytes()))
    assert answer["InstancesCount"] == 12 and "4D: 3 volumes by AcquisitionTime" in answer["Warnings"]
    datasets = empty.download(answer["ID"])
    derived = ParentSeries.from_datasets(datasets)
    assert derived.volume_key == "TemporalPositionIdentifier" and derived.time_step == parent.time_step == 2.0
    assert np.array_equal(derived.voxels(), parent.voxels())
    sources = [d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in derived.instances]
    assert sources == [d.SOPInstanceUID for d in parent.instances]
    smoothed = derive(empty, series, Pipeline="gaussian_smoothing", Parameters={"SigmaMm": 0.01})
    again = ParentSeries.from_datasets(empty.download(smoothed["ID"]))
    assert np.array_equal(again.voxels(), parent.voxels())


def test_an_image_of_another_grid_is_resampled_when_asked(empty: OrthancServer, ct: str) -> None:
    """A ramp along the patient's axis on a sheared grid of larger voxels, around the parent."""
    parent = ParentSeries.from_datasets(empty.download(ct))
    affine = parent.to_nifti().affine @ np.array([[2, 0, 0.3, -8], [0, 2, 0, -8], [0, 0, 2, -4], [0, 0, 0, 1]])
    heights = affine[2, 2] * np.arange(9) + affine[2, 3]
    data = nib.Nifti1Image(np.broadcast_to(heights, (28, 28, 9)), affine).to_bytes()
    refused = empty.post(f"/series/{ct}/derive/ct/nifti", data=data)
    assert refused.status_code == 422 and "not orthogonal" in refused.json()["Message"]
    options = {"X-Derived-Series-Options": json.dumps({"Grid": "Parent"})}
    answer = empty.json(f"/series/{ct}/derive/ct/nifti", "POST", data=data, headers=options)
    assert answer["Warnings"][0] == "resampled to the parent's grid (linear)"
    derived = ParentSeries.from_datasets(empty.download(answer["ID"]))
    assert derived.require_grid() == parent.require_grid()
    wanted = np.array([z for _, _, z in parent.require_grid().positions])[:, None, None]
    assert np.abs(derived.voxels() - wanted).max() < 0.01


def test_options(empty: OrthancServer, ct: str) -> None:
    options = {"SeriesDescription": "Søren", "Replace": {"BodyPartExamined": "HEAD"}, "FillingStrategy": "Copy"}
    answer = empty.json(
        f"/series/{ct}/derive/ct/numpy",
        "POST",
        data=npy(volume()),
        headers={"X-Derived-Series-Options": json.dumps(options)},
    )
    dataset = empty.download(answer["ID"])[0]
    assert dataset.SeriesDescription == "Søren" and dataset.BodyPartExamined == "HEAD"
    image = base64.b64encode(npy(volume())).decode()
    answer = derive(empty, ct, Blueprint="ct", Factory="numpy", Image=image, Derivation="GaussianBlur")
    assert empty.download(answer["ID"])[0].DerivationCodeSequence[0].CodeMeaning


def test_a_dry_run_explains_and_stores_nothing(empty: OrthancServer, ct: str) -> None:
    answer = derive(empty, ct, Pipeline="gaussian_smoothing", DryRun=True)
    assert answer["DryRun"] is True and "ID" not in answer
    keywords = {row["Keyword"]: row for row in answer["Header"]}
    assert keywords["ImageType"]["Value"].startswith("DERIVED")
    assert {"Element", "Blueprint", "Overrode"} <= set(keywords["PatientID"])
    assert empty.series_ids() == {ct}


def test_two_inputs(empty: OrthancServer, ct: str) -> None:
    second = empty.upload(ct_phantom(slices=6, series="second"))
    answer = derive(empty, ct, Pipeline="sum", Inputs={"second": second})
    assert answer["InstancesCount"] == 6


ERRORS: list[tuple[str, Any, int, list[str]]] = [
    ("derive", {"Pipeline": "nope"}, 404, ["nope", "gaussian_smoothing"]),
    ("derive", {"Blueprint": "../../etc/passwd", "Factory": "numpy"}, 404, ["passwd", "secondary_capture"]),
    ("derive", {"Blueprint": "ct", "Factory": "torch"}, 404, ["torch", "nifti, numpy"]),
    ("derive", {"Pipeline": "plain", "Foo": 1}, 400, ["Foo", "Parameters"]),
    ("derive", b"{", 400, ["line 1"]),
    ("derive", b"", 400, ["JSON"]),
    ("derive", b"\xff\xfe\x00", 400, ["JSON"]),
    ("derive", {"Pipeline": "gaussian_smoothing", "Parameters": {"Sigma": 1}}, 400, ["Sigma", "SigmaMm"]),
    ("derive", {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": "x"}}, 400, ["SigmaMm"]),
    ("derive", {"Pipeline": "plain", "Replace": {"NoSuchTag": 1}}, 400, ["NoSuchTag"]),
    ("derive", {"Pipeline": "plain", "Derivation": "Nonsense"}, 400, ["Nonsense"]),
    ("derive", {"Pipeline": "sum"}, 400, ["second"]),
    ("derive", {"Pipeline": "plain", "Inputs": {"parent": "0123abcd-" * 4 + "0123abcd"}}, 404, ["0123abcd"]),
    ("derive", {"Pipeline": "suv_body_weight"}, 422, ["Modality (0008,0060)"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "shape"}}, 422, ["(6, 31, 24)", "(6, 32, 24)"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "nan"}}, 422, ["NaN"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "raise"}}, 500, ["the moon is in the wrong phase"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "exit"}}, 500, ["SystemExit"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "os exit 0"}}, 500, ["exit code 0"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "os exit 7"}}, 500, ["exit code 7"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "segfault"}}, 500, ["SIGSEGV"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "abort"}}, 500, ["SIGABRT"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "spin"}, "Timeout": 1}, 500, ["longer than 1 s"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "deaf"}, "Timeout": 1}, 500, ["longer than 1 s"]),
    ("derive", {"Pipeline": "bad", "Parameters": {"How": "nothing"}}, 500, ["nothing"]),
    ("derive/ct/numpy", npy(volume(3, 4, 5)), 422, ["(3, 4, 5)", "(6, 32, 24)"]),
    ("derive/ct/numpy", npy(volume() * 1j), 422, ["complex"]),
    ("derive/ct/numpy", b"", 400, ["empty"]),
    ("derive/ct/numpy", b"GIF89a", 400, ["GIF89a", "numpy.save"]),
    ("derive/ct/numpy", npy(volume())[:500], 400, [".npy"]),
    ("derive/ct/nifti", npy(volume()), 400, [".npy", "nifti", "numpy"]),
    ("derive/ct/nifti", gzip.compress(b"no nifti", mtime=0), 400, ["NIfTI"]),
    ("derive/none/numpy", npy(volume()), 404, ["none", "secondary_capture"]),
    ("derive/ct/none", npy(volume()), 404, ["none", "nifti, numpy"]),
]


@pytest.mark.parametrize(("route", "body", "status", "words"), ERRORS)
def test_errors_are_told_and_nothing_is_stored(
    server: OrthancServer, request: pytest.FixtureRequest, route: str, body: Any, status: int, words: list[str]
) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=6))
    logged = len(server.log())
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.post(f"/series/{ct}/{route}", data=data)
    document = answer.json()
    assert answer.status_code == status == document["HttpStatus"], document
    assert {"HttpError", "Message", "Details", "Method", "Uri", "Remedy"} <= set(document)
    for word in words:
        assert word in document["Message"] + document["Remedy"] + document["Details"]
    assert server.series_ids() == {ct}
    assert server.json("/statistics")["CountInstances"] == 6
    if body == {"Pipeline": "bad", "Parameters": {"How": "raise"}}:
        log = server.log()[logged:]
        assert "Traceback" in log and 'raise ValueError("the moon is in the wrong phase")' in log


def test_an_unknown_series(empty: OrthancServer) -> None:
    for series in ("0123abcd-0123abcd-0123abcd-0123abcd-0123abcd", "nonsense", "%2e%2e"):
        answer = empty.post(f"/series/{series}/derive", json={"Pipeline": "plain"})
        assert answer.status_code == 404 and answer.json()["HttpStatus"] == 404


def test_parents_of_several_patients_are_refused(empty: OrthancServer, ct: str) -> None:
    other = empty.upload(ct_phantom(slices=6, patient_id="OTHER", series="other"))
    answer = empty.post(f"/series/{ct}/derive", json={"Pipeline": "sum", "Inputs": {"second": other}})
    assert answer.status_code == 409 and other in answer.json()["Message"]
    assert "OTHER" not in answer.text, "who may not see that patient is told nothing of it"
    assert empty.series_ids() == {ct, other}


def test_a_method_that_a_route_has_not(empty: OrthancServer, ct: str) -> None:
    answer = empty.get(f"/series/{ct}/derive")
    assert answer.status_code == 405 and answer.headers["Allow"] == "POST"


def test_a_small_file_that_unfolds_to_a_huge_image_is_refused(empty: OrthancServer, ct: str) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((30000, 30000, 30))
    file = io.BytesIO()
    header.write_to(file)
    bomb = gzip.compress(file.getvalue() + bytes(20_000_000))
    assert len(bomb) < 100_000
    answer = empty.post(f"/series/{ct}/derive/ct/nifti", data=bomb)
    assert answer.status_code == 400 and "MaxImageMB" in answer.json()["Remedy"]


def test_an_image_over_the_limit_is_refused(empty: OrthancServer, ct: str) -> None:
    answer = empty.post(f"/series/{ct}/derive/ct/numpy", data=b"\x93NUMPY" + bytes(65 << 20))
    assert answer.status_code == 400 and "over the limit" in answer.json()["Message"]


@pytest.mark.parametrize("options", ["[]", "{", '{"Foo": 1}', '{"Pipeline": "plain"}', '{"Image": "AAAA"}'])
def test_bad_options_of_the_image_route(empty: OrthancServer, ct: str, options: str) -> None:
    answer = empty.post(
        f"/series/{ct}/derive/ct/numpy", data=npy(volume()), headers={"X-Derived-Series-Options": options}
    )
    assert answer.status_code == 400
    assert empty.series_ids() == {ct}


def test_reuse_finds_what_is_the_same_and_still_there(empty: OrthancServer, ct: str) -> None:
    same = {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 1.0}, "IfExists": "Reuse"}
    first = derive(empty, ct, **same)
    assert derive(empty, ct, **same) == first
    assert derive(empty, ct, **{**same, "Parameters": {"SigmaMm": 2.0}})["ID"] != first["ID"]
    empty.delete(first["Path"])
    again = derive(empty, ct, **same)
    assert again["ID"] != first["ID"] and again["SeriesInstanceUID"] != first["SeriesInstanceUID"]
    assert len(empty.series_ids()) == 3


def test_reuse_meets_one_that_is_still_running(empty: OrthancServer, ct: str) -> None:
    same = {"Pipeline": "plain", "Parameters": {"Seconds": 0.5}, "IfExists": "Reuse"}
    first = submit(empty, ct, **same)
    assert submit(empty, ct, **same) == first
    assert derive(empty, ct, **same)["JobID"] == first


def test_of_many_that_reuse_at_once_one_starts(empty: OrthancServer, ct: str) -> None:
    same = {"Pipeline": "plain", "Parameters": {"Seconds": 0.5}, "IfExists": "Reuse"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = set(pool.map(lambda _: submit(empty, ct, **same), range(16)))
    assert len(jobs) == 1
    assert finished(empty, jobs.pop())["State"] == "Success"
    assert len(empty.series_ids()) == 2


def test_29_a_replacing_run_leaves_one_series(empty: OrthancServer, ct: str) -> None:
    first = derive(empty, ct, Pipeline="plain")
    second = derive(empty, ct, Pipeline="plain", IfExists="Replace", Parameters={"Seconds": 0.01})
    assert second["ID"] != first["ID"]
    assert empty.series_ids() == {ct, second["ID"]}


def test_29_a_replacing_run_leaves_what_was_accepted(empty: OrthancServer, ct: str) -> None:
    accepted = derive(empty, ct, Pipeline="plain")
    empty.json(f"{accepted['Path']}/review", "POST", json={"Verdict": "Accept", "User": "Eva"})
    second = derive(empty, ct, Pipeline="plain", IfExists="Replace")
    assert empty.series_ids() == {ct, accepted["ID"], second["ID"]}
    assert f"the series {accepted['ID']} is not replaced: it was accepted; delete it yourself" in second["Warnings"]
    empty.delete(f"{accepted['Path']}/metadata/4301")  # a copy only: the record says that it was accepted
    third = derive(empty, ct, Pipeline="plain", IfExists="Replace")
    assert empty.series_ids() == {ct, accepted["ID"], third["ID"]}


def test_29_replacing_runs_at_once_leave_one_series(empty: OrthancServer, ct: str) -> None:
    jobs = [submit(empty, ct, Pipeline="plain", IfExists="Replace") for _ in range(6)]
    results = [finished(empty, each) for each in jobs]
    assert {result["State"] for result in results} == {"Success"}
    assert len(empty.series_ids()) == 2


def test_a_replacing_run_that_fails_leaves_the_old_series(empty: OrthancServer, ct: str) -> None:
    first = derive(empty, ct, Pipeline="bad", Parameters={"How": ""})
    answer = empty.post(
        f"/series/{ct}/derive", json={"Pipeline": "bad", "Parameters": {"How": "raise"}, "IfExists": "Replace"}
    )
    assert answer.status_code == 500
    assert empty.series_ids() == {ct, first["ID"]}


def test_series_numbers_move_on(empty: OrthancServer, ct: str) -> None:
    numbers = [
        int(empty.json(derive(empty, ct, Pipeline="plain")["Path"])["MainDicomTags"]["SeriesNumber"]) for _ in range(3)
    ]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


def test_27_other_routes_answer_while_derivations_run(empty: OrthancServer, ct: str) -> None:
    request = {"Pipeline": "plain", "Parameters": {"Seconds": 1.0}}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(derive, empty, ct, **request) for _ in range(8)]
        slowest = 0.0
        for _ in range(40):
            began = time.monotonic()
            empty.json("/derived-series/factories")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.02)
        assert slowest < 0.5
        assert len({future.result()["ID"] for future in waiting}) == 8


def test_a_worker_that_is_killed_does_its_task_again(empty: OrthancServer, ct: str, tmp_path: Path) -> None:
    parameters = {"How": "killed once", "Path": str(tmp_path / "marker")}
    answer = derive(empty, ct, Pipeline="bad", Parameters=parameters)
    assert empty.json(f"/derived-series/jobs/{answer['JobID']}")["Content"]["Attempt"] == 2
    assert empty.series_ids() == {ct, answer["ID"]}


def test_a_crash_touches_no_other_derivation(empty: OrthancServer, ct: str) -> None:
    other = submit(empty, ct, Pipeline="plain", Parameters={"Seconds": 1.5})
    for how in ("segfault", "os exit 0", "exit"):
        answer = empty.post(f"/series/{ct}/derive", json={"Pipeline": "bad", "Parameters": {"How": how}})
        assert answer.status_code == 500
    job = finished(empty, other)
    assert job["State"] == "Success" and job["Content"]["Attempt"] == 1


def test_a_series_that_breaks_a_rule_is_not_stored(empty: OrthancServer, ct: str) -> None:
    wrong = {"Replace": {"Modality": "MR", "ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}}
    request = {"Blueprint": "ct", "Factory": "numpy", **wrong}
    answer = empty.post(f"/series/{ct}/derive", json=request)
    assert answer.status_code == 422 and empty.series_ids() == {ct}
    assert "Modality (0008,0060) is 'MR'" in answer.json()["Message"]
    assert "ImageOrientationPatient (0020,0037) is not two unit vectors" in answer.json()["Message"]
    dry = derive(empty, ct, **request, DryRun=True)
    assert any("Modality (0008,0060) is 'MR'" in warning for warning in dry["Warnings"])
    assert empty.series_ids() == {ct}
    warned = derive(empty, ct, **request, Validation="Warn")
    assert any("Modality (0008,0060) is 'MR'" in warning for warning in warned["Warnings"])
    silent = derive(empty, ct, **request, Validation="Off")
    assert not any("Modality" in warning for warning in silent["Warnings"])
    assert empty.series_ids() == {ct, warned["ID"], silent["ID"]}


def test_wrong_parameters_do_not_become_a_job(empty: OrthancServer, ct: str) -> None:
    before = len(empty.json("/derived-series/jobs"))
    for parameters, problem in (
        ({"Sigma": 1}, "unknown key 'Sigma'"),
        ({"SigmaMm": "x"}, 'SigmaMm: a number is expected, not string "x"'),
        ({"SigmaMm": -1}, "SigmaMm: a number greater than 0 is expected, not number -1"),
    ):
        body = {"Pipeline": "gaussian_smoothing", "Parameters": parameters, "Asynchronous": True}
        answer = empty.post(f"/series/{ct}/derive", json=body)
        assert answer.status_code == 400 and problem in answer.json()["Message"], answer.text
        assert "SigmaMm" in answer.json()["Remedy"]
    assert len(empty.json("/derived-series/jobs")) == before
