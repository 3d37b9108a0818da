"""The recipes of docs/on-stable-series.md and the Lua script, run as they stand, on a real Orthanc."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from derived_series.orthanc.config import Settings
from installed import needs_program
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom, pet_phantom
from server_fixtures import finished
from waiting import soon

TEXT = (REPOSITORY / "docs" / "on-stable-series.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    script = REPOSITORY / "docs" / "on-stable-series.lua"
    with OrthancServer(tmp_path_factory.mktemp("recipes"), {"LuaScripts": [str(script)]}) as orthanc:
        yield orthanc


def shell(script: str, server: OrthancServer, series: str) -> str:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"  # a Debian need not have a python3 of its own
    environment = {"PATH": path, "ORTHANC": server.url, "SERIES": series}
    done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def jobs(server: OrthancServer) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = server.json("/derived-series/jobs?expand")
    return documents


def test_the_lua_script_derives_once_and_not_from_its_own_results(server: OrthancServer) -> None:
    pet = server.upload(pet_phantom(slices=2))
    ct = server.upload(ct_phantom(slices=3))
    end = time.monotonic() + 30
    while not jobs(server):
        assert time.monotonic() < end, server.log()[-2000:]
        time.sleep(0.1)
    (job,) = jobs(server)
    assert finished(server, job["ID"])["State"] == "Success" and job["Content"]["ParentSeries"] == ct
    derived = server.json(f"/series/{ct}/derived")[0]["ID"]
    while derived not in _stable(server):
        assert time.monotonic() < end
        time.sleep(0.1)
    time.sleep(0.3)
    assert len(jobs(server)) == 1 and server.series_ids() == {pet, ct, derived}
    soon(lambda: f"derived series: job {job['ID']}" in server.log())


def _stable(server: OrthancServer) -> set[str]:
    last = server.json("/changes?last")["Last"]
    changes = server.json(f"/changes?since={max(0, last - 100)}&limit=100")["Changes"]
    return {change["ID"] for change in changes if change["ChangeType"] == "StableSeries"}


def test_the_recipes_for_the_shell(empty_orthanc: OrthancServer) -> None:
    needs_program("curl", "apt-get install curl")
    server = empty_orthanc
    ct = server.upload(ct_phantom(slices=2, patient_id="shell"))
    simulate, derive = blocks("sh")
    end = time.monotonic() + 30
    while ct not in _stable(server):
        assert time.monotonic() < end
        time.sleep(0.1)
    output = shell(simulate, server, ct)
    assert ct in output and '"it matches"' in output
    assert '"State": "Success"' in shell(derive, server, ct)
    assert len(server.json(f"/series/{ct}/derived")) == 1


def test_the_recipe_for_python(empty_orthanc: OrthancServer) -> None:
    server = empty_orthanc
    since = server.json("/changes?last")["Last"]
    ct = server.upload(ct_phantom(slices=2, patient_id="python"))
    (recipe,) = blocks("python")
    call = f"\nfollow({server.url!r}, {since}, smooth, rounds=6)\n"
    done = subprocess.run([sys.executable, "-c", recipe + call], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[1]
    assert finished(server, job)["State"] == "Success"
    assert [each["Provenance"]["Job"] for each in server.json(f"/series/{ct}/derived")] == [job]


def test_the_rules_of_the_text_are_rules() -> None:
    whole, waiting, chosen = blocks("json")
    rules = Settings.of(json.loads("{" + whole + "}")).rules
    assert [rule.name for rule in rules] == ["smooth thin thorax CTs", "fuse"]
    rules = Settings.of({"Rules": [json.loads(waiting), *json.loads(f"[{chosen}]")]}).rules
    assert [rule.name for rule in rules] == ["fuse the whole study", "large", "small"]
