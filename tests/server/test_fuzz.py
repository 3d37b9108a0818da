"""Damaged inputs, some hundred here (``make fuzz`` runs thousands): each ends in a series or in a clear error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fuzz_dicom import damaged_series
from fuzz_images import damaged_nifti, damaged_npy, parent
from fuzzing import fuzz
from orthanc_server import OrthancServer
from server_fixtures import settings

SEED = os.environ.get("FUZZ_SEED", "1")
CASES = int(os.environ.get("FUZZ_CASES", "250"))
THROUGH_HTTP = 60


@pytest.mark.parametrize("cases", [25, pytest.param(CASES, marks=pytest.mark.slow)])
def test_every_damaged_input_ends_in_a_series_or_in_a_clear_error(cases: int) -> None:
    """In its time and memory. What failed is repeated by the seed and the number that are named here."""
    result = fuzz(SEED, range(cases))
    assert result.defects == [], result.table()
    ends = {end for _, end in result.counts}
    assert sum(result.counts.values()) == cases and "derived" in ends
    assert cases < CASES or {"InvalidParent", "InvalidImage", "GeometryError", "ShapeMismatch", "PixelError"} <= ends


def test_the_same_seed_makes_the_same_input() -> None:
    for make in (damaged_series, damaged_nifti, damaged_npy):
        one, same, other = ([make(Random(f"{seed}/{n}")) for n in range(5)] for seed in (1, 1, 2))
        assert one == same and one != other


@pytest.mark.parametrize(
    ("body", "defect"),
    [
        ("time.sleep(60)", "no end within 0.5 s"),
        ("os.kill(os.getpid(), 11)", "died of SIGSEGV"),
        ("sys.exit(3)", "exited with 3"),
        ("print(json.dumps({**good, 'end': 'DEFECT ValueError', 'trace': 'x'}), flush=True)", "DEFECT ValueError"),
    ],
)
def test_defects_are_seen(tmp_path: Path, body: str, defect: str) -> None:
    """A process that hangs, dies or tells of an exception, at its second input."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys, time\ngood = {'what': 'x', 'end': 'derived', 'seconds': 0.1, 'peak': 1}\n"
        f"for line in sys.stdin:\n    if line == 's 1\\n':\n        {body}\n"
        "    else:\n        print(json.dumps(good), flush=True)\n"
    )
    result = fuzz("s", range(4), program, limit=0.5)
    assert [(number, what) for number, what, _ in result.defects] == [(1, defect)]
    assert result.counts["x", "derived"] == 3


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("server")
    with OrthancServer(
        folder, settings(folder / "library", JobTimeout=20, MaxImageMB=64, WorkerMemoryMB=1024)
    ) as orthanc:
        yield orthanc


def test_orthanc_lives_and_keeps_nothing_of_what_failed(server: OrthancServer) -> None:
    derived = 0
    good = server.upload(parent().instances)
    for number in range(THROUGH_HTTP):
        random = Random(f"{SEED}/http/{number}")
        if number % 3 == 0:
            what, parts = damaged_series(random)
            for part in parts:
                server.post("/instances", data=part)  # Orthanc takes some of them
            for series in server.series_ids() - {good}:
                derived += _derived(server, series, f"{number} {what}", json={"Blueprint": "ct", "Factory": "numpy"})
        else:
            make, factory = ((damaged_nifti, "nifti"), (damaged_npy, "numpy"))[number % 3 - 1]
            what, _suffix, content = make(random)
            derived += _derived(server, good, f"{number} {what}", f"/ct/{factory}", data=content)
        for series in server.series_ids() - {good}:
            server.delete(f"/series/{series}")
    assert derived
    assert server.json("/system")["Name"] is not None
    status = server.json("/derived-series/status")
    assert status["Blueprints"]


def _derived(server: OrthancServer, series: str, what: str, path: str = "", **request: Any) -> bool:
    """Ask for a derivation; whether there is a series. An error is told, and nothing is left of it."""
    before = server.series_ids()
    answer = server.post(f"/series/{series}/derive{path}", **request)
    if answer.status_code == 200:
        assert server.series_ids() == before | {answer.json()["ID"]}, what
        return True
    assert 400 <= answer.status_code < 500, (what, answer.status_code, answer.text)
    assert answer.json()["Message"], what
    assert server.series_ids() == before, what
    return False
