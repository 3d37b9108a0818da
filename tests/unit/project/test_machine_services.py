"""The services of docs/many-machines.md: systemd takes the units, compose the containers, commands their options."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from derived_series.__main__ import _parser
from derived_series.orthanc.config import Settings
from orthanc_server import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "many-machines.md").read_text("utf-8")
PROGRAM = "/opt/derived-series/bin/derived-series"
UNITS = ("derived-series-scheduler.service", "derived-series-worker@.service")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", DOCUMENT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def units() -> dict[str, str]:
    assert all(name in DOCUMENT for name in UNITS)
    return dict(zip(UNITS, blocks("ini"), strict=True))


@pytest.fixture(scope="module")
def containers() -> dict[str, Any]:
    (block,) = blocks("yaml")
    document: dict[str, Any] = YAML(typ="safe").load(block)
    return document


def commands(text: str) -> list[list[str]]:
    """The arguments of our commands in a text of a shell."""
    lines = text.replace("\\\n", " ").splitlines()
    matches = (
        re.search(r"(?:^|[\s=])\S*derived-series ((?:scheduler|worker|certificates) [^&'\"]*)", line) for line in lines
    )
    return [shlex.split(match[1], comments=True) for match in matches if match]


def verified(folder: Path, units: dict[str, str]) -> str:
    """What systemd says of units, whose program is one that is there."""
    folder.mkdir()
    for name, text in units.items():
        (folder / name.replace("@", "@0")).write_text(text.replace(PROGRAM, sys.executable))
    files = [str(file) for file in sorted(folder.iterdir())]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False
    )
    return done.stderr + ("" if done.returncode == 0 else f"exit status {done.returncode}")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path, units: dict[str, str]) -> None:
    assert verified(tmp_path / "units", units) == ""
    mistaken = {name: text.replace("KillMode=mixed", "KillMode=mixt") for name, text in units.items()}
    assert "mixt" in verified(tmp_path / "mistaken", mistaken)


def test_the_units_run_commands_that_there_are(units: dict[str, str]) -> None:
    of_units = []
    for text in units.values():
        unit = configparser.ConfigParser(interpolation=None)
        unit.read_string(text.replace("\\\n", " "))
        program, *arguments = shlex.split(unit["Service"]["ExecStart"])
        assert program == PROGRAM and f"{PROGRAM} {arguments[0]}" in "".join(blocks("sh")), "as step 4 runs it"
        of_units.append(_parser().parse_args(arguments))
    scheduler, worker = of_units
    assert scheduler.command == "scheduler" and worker.command == "worker"
    assert scheduler.certificates == worker.certificates == Path("/etc/derived-series")
    assert "StateDirectory=derived-series" in units[UNITS[1]] and worker.scratch == Path("/var/lib/derived-series")
    assert "%i" in worker.name, "each worker has a name of its own"


def test_all_commands_of_the_document_take_their_options(containers: dict[str, Any]) -> None:
    of_containers = [service["command"] for service in containers["services"].values() if "command" in service]
    there = commands("\n".join([*blocks("sh"), *blocks("ini"), *of_containers]))
    assert sorted(each[0] for each in there) == [*["certificates"] * 2, *["scheduler"] * 3, *["worker"] * 3]
    for arguments in there:
        _parser().parse_args(arguments)
    with pytest.raises(SystemExit):
        _parser().parse_args([*there[0], "--resource", "GPU=1"])


def test_the_containers_follow_the_compose_specification(containers: dict[str, Any]) -> None:
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(containers)] == []
    beside = YAML(typ="safe").load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
    assert set(containers["services"]) & set(beside["services"]) == {"orthanc"}
    assert "docker compose -f docker-compose.yml -f machines.yml up" in DOCUMENT


def test_the_containers_know_each_other(containers: dict[str, Any]) -> None:
    services = containers["services"]
    (certificates,) = (each for each in commands("".join(blocks("sh"))) if each[:2] == ["certificates", "machines"])
    assert set(certificates[2:]) == set(services), "each has a certificate, for the name by which it is reached"
    for name, service in services.items():
        assert f"./machines/{name}:/machines:ro" in service["volumes"]
    environment = services["orthanc"]["environment"]
    settings = Settings.of({"Environments": json.loads(environment["ORTHANC__DERIVED_SERIES__ENVIRONMENTS"])})
    gpu = settings.environments["gpu"]
    assert (gpu.scheduler, gpu.certificates) == ("tls://scheduler:8786", "/machines")
    assert gpu.orthanc_url == "http://orthanc:8042"
    assert gpu.resources == {"GPU": 1} and "--resources GPU=1" in services["worker"]["command"]
    assert f"worker {gpu.scheduler} " in services["worker"]["command"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    for extra in environment["DERIVED_SERIES_EXTRAS"].split(","):
        assert extra in project["optional-dependencies"]
    for name in ("scheduler", "worker"):
        assert f"derived_series_orthanc-{project['version']}-py3-none-any.whl[dask]" in services[name]["command"]
        assert "./dist:/wheels:ro" in services[name]["volumes"]


def test_the_workers_user_is_one_of_orthancs(containers: dict[str, Any]) -> None:
    users = containers["services"]["orthanc"]["environment"]["ORTHANC__REGISTERED_USERS"]
    assert set(json.loads(users)) == {"orthanc", "worker"} and "${WORKER_PASSWORD:?" in users
    (name,) = containers["services"]["worker"]["secrets"]
    file = containers["secrets"][name]["file"].removeprefix("./")
    assert f'echo "worker:$WORKER_PASSWORD" > {file} && chmod 600 {file}' in DOCUMENT
    assert f"--credentials /run/secrets/{name}" in containers["services"]["worker"]["command"]
