"""Commands of the documents run as printed; every curl that they and the errors name for a file sends it at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from derived_series import ParentSeries
from installed import needs_program
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive, npy

TOLD = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("plugin/**/*.py")]
CURL = re.compile(r"curl ([^\n`]*)(--data-binary|-T|--upload-file) @?\w")


def test_no_curl_for_a_file_waits_for_an_answer_that_orthanc_does_not_give() -> None:
    calls = [(path.name, match.group()) for path in TOLD for match in CURL.finditer(path.read_text("utf-8"))]
    assert {"README.md", "reference.md", "derive.py", "gateway.py"} <= {name for name, _ in calls}
    assert [call for call in calls if "-H 'Expect:' " not in call[1]] == []


def test_the_curl_of_the_readme(orthanc: OrthancServer, tmp_path: Path) -> None:
    needs_program("curl", "apt-get install curl")
    slices, rows, columns = 40, 192, 192  # more than the megabyte from which on curl asks first
    series = orthanc.upload(ct_phantom(slices, rows, columns))
    (tmp_path / "denoised.npy").write_bytes(npy(np.full((slices, rows, columns), 7, np.int16)))
    (line,) = re.findall(r"^(curl .*--data-binary.*)$", (REPOSITORY / "README.md").read_text("utf-8"), re.M)
    line = line.replace("http://127.0.0.1:8042", orthanc.url).replace("$PARENT", series)
    line = line.replace("denoised.nii.gz", "denoised.npy").replace("denoised/nifti", "ct/numpy")

    def run(command: str) -> str:
        done = subprocess.run(["bash", "-euc", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and '"InstancesCount": 40' in done.stdout.replace("\n", ""), done.stdout
        answers.append(json.loads(done.stdout))
        return done.stderr

    answers: list[dict[str, object]] = []
    assert "100-continue" not in run(f"{line} -v").lower()
    (printed,) = re.findall(r'^{"Type": "Series".*?^$', (REPOSITORY / "README.md").read_text("utf-8"), re.M | re.S)
    assert set(re.findall(r'"(\w+)": ', printed)) == set(answers[0]), "the answer in the README is the server's"
    waits = run(f"{line} -v".replace("-H 'Expect:' ", "")).lower()
    assert "100-continue" in waits and "100 continue" not in waits, "if Orthanc answers it some day, this can go"


def commands(document: str, *words: str) -> list[str]:
    """The blocks of commands in which all words are."""
    texts = re.findall(r"```sh\n(.*?)```", (REPOSITORY / document).read_text("utf-8"), re.S)
    return [text for text in texts if all(word in text for word in words)]


def shell(script: str, server: OrthancServer, folder: Path, **variables: str) -> str:
    """What commands print that end well, with the server's address for the printed one."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    script = script.replace("http://127.0.0.1:8042", server.url).replace("curl ", "curl --fail-with-body ")
    script = script.replace(".venv/bin/derived-series", f"{sys.executable} -m derived_series")
    environment = {"PATH": path, "PYTHONPATH": str(REPOSITORY / "plugin"), **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_verdicts_are_given_by_the_curls_of_the_documents(empty_orthanc: OrthancServer, tmp_path: Path) -> None:
    parent = empty_orthanc.upload(ct_phantom(slices=3))
    derived = str(derive(empty_orthanc, parent, Pipeline="gaussian_smoothing")["ID"])
    (verdicts,) = commands("README.md", "/review", "Reject")
    for state, line in zip(("Accepted", "Rejected"), verdicts.strip().splitlines(), strict=True):
        answer = json.loads(shell(line, empty_orthanc, tmp_path, DERIVED=derived))
        assert (answer["State"], answer["User"]) == (state, "Anna")


def test_a_run_is_tried_by_the_curl_of_the_documents(empty_orthanc: OrthancServer, tmp_path: Path) -> None:
    parent = empty_orthanc.upload(ct_phantom(slices=3))
    date = empty_orthanc.json(f"/series/{parent}/study")["MainDicomTags"]["StudyDate"]
    (command,) = commands("docs/bulk.md", '"DryRun": true')
    assert json.loads(shell(command, empty_orthanc, tmp_path))["DryRun"] is True
    asked = shell(command.replace("20260101-20260331", date), empty_orthanc, tmp_path)
    assert parent in {each["Series"] for each in json.loads(asked)["Members"]}


def test_the_commands_of_the_readme_that_need_no_server(empty_orthanc: OrthancServer, tmp_path: Path) -> None:
    parent = empty_orthanc.upload(ct_phantom(slices=3))
    (script,) = commands("README.md", "/archive")
    archive, *lines = script.strip().splitlines()
    shell(archive, empty_orthanc, tmp_path, PARENT=parent)
    ParentSeries.from_folder(tmp_path / "PARENT_DIR").to_nifti().to_filename(tmp_path / "result.nii.gz")
    (tmp_path / "blueprints").mkdir()
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    (shown,) = re.findall(r'```python\n("""A denoised CT.*?)```', readme, re.S)
    (tmp_path / "blueprints/denoised.py").write_text(shown, "utf-8")
    shell("\n".join(lines), empty_orthanc, tmp_path)
    assert len([path for path in (tmp_path / "OUT_DIR").rglob("*") if path.is_file()]) == 3
