"""docker-compose.yml is valid, mounts what is there, and opens Orthanc to this machine only."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urljoin

import jsonschema
import pytest
from ruamel.yaml import YAML

from orthanc_server import REPOSITORY

COMPOSE = REPOSITORY / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(COMPOSE.read_text("utf-8"))
    return document


@pytest.fixture(scope="module")
def orthanc_service(compose: dict[str, Any]) -> dict[str, Any]:
    service: dict[str, Any] = compose["services"]["orthanc"]
    return service


def test_it_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose)] == []
    compose_with_mistake = {**compose, "services": {"orthanc": {"imagee": "x"}}}
    assert list(validator.iter_errors(compose_with_mistake)) != []


def test_the_image_is_pinned(orthanc_service: dict[str, Any]) -> None:
    assert re.fullmatch(r"orthancteam/orthanc:\d+\.\d+\.\d+", orthanc_service["image"])


def test_what_is_mounted_is_there(compose: dict[str, Any], orthanc_service: dict[str, Any]) -> None:
    for volume in orthanc_service["volumes"]:
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("."):
            assert (REPOSITORY / source).exists(), f"{source} is mounted and not there"
            assert mode == ["ro"], f"{source} can be written from the container"
        else:
            assert source in compose["volumes"]


def test_paths_in_the_container_are_mounted(orthanc_service: dict[str, Any]) -> None:
    targets = [Path(volume.split(":")[1]) for volume in orthanc_service["volumes"]]
    environment = orthanc_service["environment"]
    home = Path(environment["DERIVED_SERIES_HOME"])
    needed = [
        Path(environment["DERIVED_SERIES_STORAGE"]),
        Path(environment["DERIVED_SERIES_VENV"]),
        Path(environment["BEFORE_ORTHANC_STARTUP_SCRIPT"]),
        Path(orthanc_service["healthcheck"]["test"][-1]),
        *(home / name for name in ("plugin/main.py", "blueprints", "pyproject.toml", "LICENSE")),
    ]
    for path in needed:
        assert any(path.is_relative_to(target) for target in targets), f"{path} is in no volume"


def test_scripts_of_the_container_are_there(orthanc_service: dict[str, Any]) -> None:
    home = orthanc_service["environment"]["DERIVED_SERIES_HOME"]
    for path in (
        orthanc_service["environment"]["BEFORE_ORTHANC_STARTUP_SCRIPT"],
        orthanc_service["healthcheck"]["test"][-1],
    ):
        assert (REPOSITORY / Path(path).relative_to(home)).is_file()
    assert os.access(REPOSITORY / "scripts" / "container-setup.sh", os.X_OK)


def test_only_this_machine_reaches_it_and_must_log_in(orthanc_service: dict[str, Any]) -> None:
    assert orthanc_service["ports"] == ["127.0.0.1:8042:8042"]
    environment = orthanc_service["environment"]
    assert environment["ORTHANC__AUTHENTICATION_ENABLED"] == "true"
    assert "${ORTHANC_PASSWORD:?" in environment["ORTHANC__REGISTERED_USERS"], "a password must be chosen"


def test_orthanc_json_has_no_path_of_one_machine() -> None:
    config = json.loads((REPOSITORY / "orthanc.json").read_text("utf-8"))
    assert config["RemoteAccessAllowed"] is False
    paths = [config["StorageDirectory"], config["PythonScript"], config["Python"]["Path"]]
    for path in [*paths, *config["DerivedSeries"]["BlueprintFolders"]]:
        assert not path.startswith("/")
    assert all(path.startswith("/usr/share/orthanc/plugins/") for path in config["Plugins"])


#: The keys of a button, by its method, as Orthanc Explorer 2 documents them in its Plugin/DefaultConfiguration.json.
_KEYS_OF_BUTTONS = {
    "GET": {"HttpMethod", "Id", "Tooltip", "Target", "Icon", "Url"},
    "POST": {"HttpMethod", "Id", "Tooltip", "Icon", "Url", "Payload", "Refresh"},
    "PUT": {"HttpMethod", "Id", "Tooltip", "Icon", "Url", "Payload", "Refresh"},
}


def custom_buttons(text: str) -> dict[str, list[dict[str, Any]]]:
    buttons: dict[str, list[dict[str, Any]]] = json.loads(text)["OrthancExplorer2"]["UiOptions"]["CustomButtons"]
    return buttons


def test_the_buttons_have_the_form_that_orthanc_explorer_2_documents() -> None:
    """It is not in Debian: what it makes of them is not shown here."""
    by_level = custom_buttons((REPOSITORY / "orthanc.json").read_text("utf-8"))
    buttons = [button for level in ("study", "series", "instance") for button in by_level[level]]
    assert len({button["Id"] for button in buttons}) == len(buttons)
    for button in buttons:
        assert set(button) == _KEYS_OF_BUTTONS[button["HttpMethod"]], button["Id"]
        assert re.fullmatch(r"bi bi-[a-z0-9-]+", button["Icon"]) and button["Target"] in ("_self", "_blank")
        assert re.findall(r"\{[^}]*\}", button["Url"]) == ["{UUID}"]


def test_the_documents_have_the_same_buttons() -> None:
    text = (REPOSITORY / "docs" / "install.md").read_text("utf-8")
    (block,) = [each for each in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if "CustomButtons" in each]
    assert custom_buttons(block) == custom_buttons((REPOSITORY / "orthanc.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("level", "page"),
    [
        ("study", "derive.html?study=1-2"),
        ("series", "derive.html?series=1-2"),
        ("series", "review/1-2"),
    ],
)
def test_orthanc_explorer_2_has_the_buttons(level: str, page: str, orthanc_service: dict[str, Any]) -> None:
    """Orthanc Explorer 2 puts Orthanc's identifier in the place of {UUID}; its page is /ui/app/."""
    config = json.loads((REPOSITORY / "orthanc.json").read_text("utf-8"))
    explorer = config["OrthancExplorer2"]
    addresses = [
        urljoin("http://host/prefix/ui/app/", button["Url"].replace("{UUID}", "1-2"))
        for button in explorer["UiOptions"]["CustomButtons"][level]
    ]
    assert explorer["Enable"] and f"http://host/prefix/derived-series/{page}" in addresses
    # In the container Orthanc Explorer 2 is there, with the same file.
    assert "./orthanc.json:/etc/orthanc/orthanc.json:ro" in orthanc_service["volumes"]


def test_orthanc_explorer_2_has_the_button_of_several_studies() -> None:
    """It replaces {CommaSeparatedUUIDs} by the identifiers of the studies that are ticked, where a button of the level
    "bulk-studies" has it in its Url (replaceResourceTagsInStringPlainText in its resource-helpers.js)."""
    config = json.loads((REPOSITORY / "orthanc.json").read_text("utf-8"))
    (button,) = config["OrthancExplorer2"]["UiOptions"]["CustomButtons"]["bulk-studies"]
    assert set(button) == {"HttpMethod", "Id", "Tooltip", "Icon", "Target", "Url"} and button["HttpMethod"] == "GET"
    address = urljoin("http://host/prefix/ui/app/", button["Url"].replace("{CommaSeparatedUUIDs}", "1-2,3-4"))
    assert address == "http://host/prefix/derived-series/bulk.html?studies=1-2,3-4"


def test_the_container_installs_once(tmp_path: Path) -> None:
    """container-setup.sh with a stand-in for pip: nothing is downloaded here, the order of steps is what counts."""
    home, venv, programs = tmp_path / "home", tmp_path / "state" / "venv", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    (home / "pyproject.toml").write_text("one")
    calls = tmp_path / "calls"
    python = programs / "python3"
    python.write_text(
        f'#!/bin/sh\necho "$*" >>{calls}\ncase "$*" in --version) echo 3.12;; *venv*--clear*) mkdir -p {venv};; esac\n'
    )
    python.chmod(0o755)
    script = tmp_path / "container-setup.sh"
    original = (REPOSITORY / "scripts" / "container-setup.sh").read_text("utf-8")
    assert "command -v /usr/bin/python3" in original
    script.write_text(original.replace("/usr/bin/python3", str(python)))
    environment = {
        "PATH": os.environ["PATH"],
        "DERIVED_SERIES_HOME": str(home),
        "DERIVED_SERIES_VENV": str(venv),
    }

    def run(**changes: str) -> list[str]:
        calls.write_text("")
        bash = shutil.which("bash") or "bash"
        subprocess.run([bash, str(script)], env=environment | changes, check=True, capture_output=True)
        return [line for line in calls.read_text().splitlines() if line != "--version"]

    first = run()
    assert len(first) == 2 and "--without-pip" in first[0] and f"--editable {home}[htj2k]" in first[1]
    assert run() == []
    assert f"--editable {home}[htj2k,dask]" in run(DERIVED_SERIES_EXTRAS="htj2k,dask")[1]
    (home / "pyproject.toml").write_text("two")
    assert len(run()) == 2


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (401, 1), (500, 1), (None, 1)])
def test_the_health_check(status: int | None, expected: int, tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "Basic b3J0aGFuYzpzZWNyZXQ="  # orthanc:secret
            self.send_response(status or 500)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    script = (REPOSITORY / "scripts" / "container_health.py").read_text("utf-8")
    port = server.server_port
    if status is None:
        port = 9  # nothing listens there
    (tmp_path / "health.py").write_text(script.replace(":8042", f":{port}"))
    try:
        run = subprocess.run(
            [sys.executable, str(tmp_path / "health.py")],
            env={**os.environ, "ORTHANC_PASSWORD": "secret"},
            capture_output=True,
            check=False,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert run.returncode == expected, run.stderr
