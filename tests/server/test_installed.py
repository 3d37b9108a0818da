"""The wheel in an environment of its own, a folder of configuration files as Debian has it, and a real Orthanc."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from orthanc_folder import debians_files, write_folder
from orthanc_server import PLUGIN_FOLDER, free_port, orthanc_program
from phantoms import ct_phantom, encode
from test_environments import make_python
from wheels import build_wheel, install, pretend_version

pytestmark = pytest.mark.sqlite  # it looks at the disk

ADMIN, READER = ("admin", "secret"), ("reader", "secret")
LUA = """
function IncomingHttpRequestFilter(method, uri, ip, username, headers)
  return not (username == 'reader' and method == 'POST')
end
"""


@pytest.fixture(scope="module")
def python(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    python = make_python(folder / "venv")
    install(build_wheel(folder), python)
    return python


def command(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``derived-series`` of the environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DERIVED_SERIES"))}
    program = [str(python.parent / "derived-series"), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, env=environment)


def findings(python: Path, *arguments: object) -> dict[str, str]:
    """What the doctor finds: messages by name; its exit status says whether there is an error among them."""
    run = command(python, "doctor", "--as", "root", "--json", *arguments)
    each = json.loads(run.stdout)["Findings"]
    assert run.returncode == any(one["Severity"] == "Error" for one in each), run.stderr
    return {one["Name"]: one["Message"] for one in each}


def debians(folder: Path, **sections: Any) -> Path:
    """Debian's files, for a server of a test; its storage is beside them."""
    files = debians_files(PLUGIN_FOLDER)
    (folder / "storage").mkdir()
    (folder / "sample.py").write_text("print('hello')\n")
    files["python.json"]["PythonScript"] = str(folder / "sample.py")
    files["orthanc.json"] |= {
        "HttpPort": free_port(),
        "DicomServerEnabled": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {name: password for name, password in (ADMIN, READER)},
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        **sections,
    }
    return write_folder(folder / "etc", files)


@contextmanager
def running(etc: Path) -> Iterator[str]:
    """An Orthanc that is started with a folder of configuration files; its address."""
    url = f"http://127.0.0.1:{json.loads((etc / 'orthanc.json').read_text())['HttpPort']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DERIVED_SERIES"))}
    with (etc.parent / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", str(orthanc_program()), str(etc)],
            stdout=log, stderr=log, cwd=etc.parent, env=environment,
        )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < end, (etc.parent / "orthanc.log").read_text()
            try:
                requests.get(url + "/system", timeout=5, auth=ADMIN)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_from_debians_folder_to_a_derived_series_and_what_the_doctor_says(python: Path, tmp_path: Path) -> None:
    etc = debians(tmp_path)
    (etc.parent / "filter.lua").write_text(LUA)
    sections = json.loads((etc / "orthanc.json").read_text())
    (etc / "orthanc.json").write_text(json.dumps({**sections, "LuaScripts": [str(etc.parent / "filter.lua")]}))
    planned = command(python, "install", "--orthanc", etc)
    (sed,) = re.findall(r"^ +(sed .*)$", planned.stdout, flags=re.MULTILINE)
    subprocess.run(sed, shell=True, check=True)
    written = command(python, "install", "--orthanc", etc, "--yes")
    assert written.returncode == 0 and "To be done by you" not in written.stdout, written.stdout + written.stderr
    stopped = findings(python, "--orthanc", etc)
    assert "nothing listens" in stopped.pop("server") and not set(stopped) - {"disk", "workers", "allow threads"}

    with running(etc) as url:
        healthy = findings(python, "--orthanc", etc)
        assert not set(healthy) - {"disk", "workers", "allow threads"}, healthy
        for dataset in ct_phantom(3, 8, 8):
            answer = requests.post(f"{url}/instances", data=encode(dataset), auth=ADMIN, timeout=60)
        derived = requests.post(
            f"{url}/series/{answer.json()['ParentSeries']}/derive",
            json={"Blueprint": "ct", "Factory": "numpy"}, auth=ADMIN, timeout=120,
        )  # fmt: skip
        assert derived.json()["InstancesCount"] == 3, derived.text
        status = requests.get(f"{url}/derived-series/status", auth=ADMIN, timeout=60).json()
        commands = [Path(f"/proc/{each['Pid']}/cmdline").read_bytes().split(b"\0") for each in status["Processes"]]
        assert {each[0] for each in commands} == {os.fsencode(python)}, "workers run the environment's Python"

        def server_finding(*arguments: object) -> dict[str, str]:
            return findings(python, "--url", url, *arguments)

        assert "asks for a name" in server_finding()["login"]
        assert "POST /series/{id}/derive was answered 403" in server_finding("--user", *_login(READER))["authorization"]
        (etc / "dicomweb.json").write_text('{"DicomWeb": {"Root": "/elsewhere/"}}')
        assert "GET /elsewhere/studies?limit=1 was answered 404" in findings(python, "--orthanc", etc)["dicomweb"]
        pretend_version(python, "9.9.9")
        assert "version 9.9.9 is installed" in server_finding("--user", *_login(ADMIN))["plugin version"]
        pretend_version(python, status["Version"])


def _login(user: tuple[str, str]) -> tuple[str, str, str]:
    return user[0], "--password", user[1]


def test_an_orthanc_that_has_not_loaded_the_plugin(python: Path, tmp_path: Path) -> None:
    """PythonScript is still Debian's example, and the DICOMweb plugin is not there."""
    etc = debians(tmp_path, Plugins=[str(PLUGIN_FOLDER / "libOrthancPython.so")])
    with running(etc) as url:
        answers = findings(python, "--url", url, "--user", *_login(ADMIN))
    assert "GET /derived-series/status was answered 404" in answers["not loaded"]
    assert "has not loaded its DICOMweb plugin" in answers["dicomweb"]


def test_a_script_of_the_users_runs_the_plugin_as_the_installation_says(python: Path, tmp_path: Path) -> None:
    etc = debians(tmp_path)
    planned = command(python, "install", "--orthanc", etc, "--yes")
    assert planned.returncode == 1
    lines = re.findall(r"^    (import runpy|derived_series_plugin = .*)$", planned.stdout, flags=re.MULTILINE)
    script = tmp_path / "sample.py"
    script.write_text(
        "import orthanc\n"
        "def hello(output, uri, **request):\n"
        "    output.AnswerBuffer('hello', 'text/plain')\n"
        "orthanc.RegisterRestCallback('/hello', hello)\n" + "\n".join(lines) + "\n"
    )
    broken = etc / "blueprints" / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    with running(etc) as url:
        assert requests.get(f"{url}/hello", auth=ADMIN, timeout=60).text == "hello"
        answers = findings(python, "--orthanc", etc)
        assert not set(answers) - {"disk", "workers", "allow threads", "files"}, answers
        assert "broken.py cannot be loaded" in answers["files"] and "nothing_of_this_name" in answers["files"]
