"""Every curl that the documents and the errors name for a file sends it at once."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np

from installed import needs_program
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom
from server_fixtures import npy

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
