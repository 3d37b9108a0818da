"""Answers to mistakes that people make at the routes: what a colleague would say."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests

import sample
from derived_series.errors import InvalidRequest
from derived_series.orthanc.config import Settings
from installed import needs_program
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import finished, npy, settings, submit

BLUEPRINTS = {
    "half_written": "from derived_series import Blueprint\nblueprint = Blueprint([\n",
    "other_name": "from derived_series import Blueprint\nmine = Blueprint([])\n",
    "elsewhere": (
        "from derived_series import *\nfrom derived_series.pipelines import Pipeline\n"
        "class Elsewhere(Pipeline):\n    'It needs another Python.'\n    environment = 'tourch'\n"
        "    def blueprint_for(self, parent, parameters, blueprints):\n"
        "        return blueprints['ct'] + derivation('nothing', 'Smoothing')\n"
        "    def process(self, container):\n        return container['parent'].voxels()\n"
    ),
}


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("answers")
    keys = settings(folder / "library")
    for name, text in BLUEPRINTS.items():
        (folder / "library" / f"{name}.py").write_text(text)
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def ct(server: OrthancServer) -> str:
    return server.upload(ct_phantom(slices=4))


def nifti() -> bytes:
    return bytes(nib.Nifti1Image(np.zeros((24, 32, 4), np.int16), np.eye(4)).to_bytes())


FILES = {
    ".npy": lambda: npy(np.arange(4 * 32 * 24, dtype=np.int16).reshape(4, 32, 24)),
    ".nii": nifti,
    ".nii.gz": lambda: gzip.compress(nifti() + bytes(1 << 24)),
}


@pytest.mark.parametrize(
    ("factory", "kind", "words"),
    [
        ("numpy", ".nii", ["is a NIfTI file", "factory numpy does not read", "use the factory nifti"]),
        ("numpy", ".nii.gz", ["factory numpy does not read", "use the factory nifti"]),
        ("nifti", ".npy", ["is a .npy file", "factory nifti does not read", "use the factory numpy"]),
        ("pdf", ".npy", ["is a .npy file", "factory pdf does not read"]),
    ],
)
def test_an_image_of_another_kind_is_named_with_what_reads_it(
    server: OrthancServer, ct: str, factory: str, kind: str, words: list[str]
) -> None:
    blueprint = "encapsulated_pdf" if factory == "pdf" else "ct"
    answer = server.post(f"/series/{ct}/derive/{blueprint}/{factory}", data=FILES[kind]())  # type: ignore[no-untyped-call]
    assert answer.status_code == 400
    error = answer.json()
    for word in words:
        assert word in f"{error['Message']} {error['Remedy']}"
    assert str(server.folder) not in answer.text and "unsafely" not in answer.text


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("header", ["", "Content-Type: application/octet-stream"])
def test_an_image_that_curl_sent_as_text_is_told_from_a_wrong_one(
    server: OrthancServer, ct: str, tmp_path: Path, kind: str, header: str
) -> None:
    curl = needs_program("curl", "apt-get install curl")
    file = tmp_path / f"image{kind}"
    file.write_bytes(FILES[kind]())  # type: ignore[no-untyped-call]
    url = f"{server.url}/series/{ct}/derive/ct/{'numpy' if kind == '.npy' else 'nifti'}"
    extra = ["-H", header] if header else []
    completed = subprocess.run([curl, "-s", *extra, "-d", f"@{file}", url], capture_output=True, text=True, timeout=60)
    assert "the image is damaged" in completed.stdout and "--data-binary" in completed.stdout
    whole = [curl, "-s", "-H", 'X-Derived-Series-Options: {"DryRun": true}', "--data-binary", f"@{file}", url]
    completed = subprocess.run(whole, capture_output=True, text=True, timeout=60)
    assert "damaged" not in completed.stdout


def test_a_blueprint_that_could_not_be_loaded_is_told_where_it_is_missed(server: OrthancServer, ct: str) -> None:
    broken = server.post(f"/series/{ct}/derive/half_written/numpy", data=FILES[".npy"]())  # type: ignore[no-untyped-call]
    assert broken.status_code == 404
    assert "half_written.py could not be loaded: SyntaxError" in broken.json()["Message"]
    named = server.get("/derived-series/blueprints/other_name").json()
    assert "names its blueprint 'mine'" in named["Message"] and "name it 'blueprint'" in named["Message"]
    other = server.post(f"/series/{ct}/derive", json={"Pipeline": "none_of_this_name"}).json()
    assert "broken.py" in other["Remedy"] and "half_written.py" in other["Remedy"]
    problems = {Path(each["File"]).name for each in server.json("/derived-series/status")["Problems"]}
    assert problems == {"broken.py", "elsewhere.py", "half_written.py", "other_name.py"}


def test_a_pipeline_of_an_environment_that_is_not_configured_runs_nowhere(server: OrthancServer, ct: str) -> None:
    before = server.series_ids()
    for request in ({"Pipeline": "elsewhere"}, {"Pipeline": "elsewhere", "DryRun": True}):
        answer = server.post(f"/series/{ct}/derive", json=request).json()
        assert "the environment 'tourch' of pipeline 'elsewhere' is not in the configuration" in answer["Message"]
        assert "add it to Environments" in answer["Remedy"]
    assert server.series_ids() == before


def test_the_log_of_a_job_shows_where_the_code_of_a_pipeline_raised(server: OrthancServer, ct: str) -> None:
    job_id = submit(server, ct, Pipeline="bad", Parameters={"How": "raise"})
    problem = finished(server, job_id)
    assert "the traceback is in the job's log" in str(problem)
    log = "\n".join(server.json(f"/series/{ct}/jobs/{job_id}/log")["Lines"])
    assert "Traceback" in log and "misbehaving.py" in log and "ValueError: the moon is in the wrong phase" in log


def test_make_run_names_the_files_that_could_not_be_loaded_and_why(
    server: OrthancServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stored(client: requests.Session, url: str) -> str:
        raise sample.SampleError("enough")

    monkeypatch.setattr("server.settings", dict)
    monkeypatch.setattr("server.base_url", lambda config: server.url)
    monkeypatch.setattr(sample, "store_parent", stored)
    assert sample.main() == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sample: not loaded")]
    assert len(lines) == 4 and "(broken.py, line 1)" in "".join(lines)


DERIVE = {"Pipeline": "p"}


@pytest.mark.parametrize(
    ("section", "known", "unknown"),
    [
        ({"Rules": [{"Name": "x", "Match": {"Modality": {"Equal": "CT"}}, "Derive": DERIVE}]}, "Equals, In", "Workers"),
        (
            {"Rules": [{"Name": "x", "Match": {"All": [{"Modality": {"Equal": 1}}]}, "Derive": DERIVE}]},
            "known keys of Rules.0.Match.All.0.Modality: Equals",
            "Workers",
        ),
        ({"Rules": [{"Name": "x", "Match": {"Modality": "CT"}, "Derive": {"Pipelin": "x"}}]}, "Pipeline", "Workers"),
        ({"Rules": [{"Nam": "x"}]}, "known keys of Rules.0: Name, Match", "Workers"),
        ({"Pipelines": {"slow": {"Tim": 3}}}, "known keys of Pipelines.slow: Timeout, MemoryMB", "Workers"),
        ({"Worker": 2}, "known keys: BlueprintFolders, Workers", "IfMoreInstances"),
    ],
)
def test_the_keys_that_are_known_are_those_of_the_place(section: dict[str, object], known: str, unknown: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings.of(section)
    remedy = caught.value.remedy or ""
    assert known in remedy and unknown not in remedy
