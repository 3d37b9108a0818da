"""The test harness itself: phantoms are valid and repeatable, servers start, stop and leave nothing behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

import phantoms
from conftest import StartOrthanc
from dciodvfy import errors, new_errors
from orthanc_server import OrthancFailed, merged

PHANTOMS = {"CT": phantoms.ct_phantom, "MR": phantoms.mr_phantom, "PT": phantoms.pet_phantom}

#: A plugin with a child process and a route, to try the harness without this repository's plugin.
TRIVIAL_PLUGIN = """
import orthanc, subprocess

child = subprocess.Popen(["sleep", "60"])

def hello(output, uri, **request):
    output.AnswerBuffer("hello", "text/plain")

def on_change(change, level, resource):
    if change == orthanc.ChangeType.ORTHANC_STOPPED and STOPS_CHILD:
        child.kill()
        child.wait()

orthanc.RegisterRestCallback("/hello", hello)
orthanc.RegisterOnChangeCallback(on_change)
"""


@pytest.fixture
def trivial_plugin(tmp_path: Path) -> Path:
    script = tmp_path / "trivial.py"
    script.write_text(f"STOPS_CHILD = True\n{TRIVIAL_PLUGIN}")
    return script


@pytest.mark.parametrize("modality", PHANTOMS)
@pytest.mark.parametrize("orientation", phantoms.ORIENTATIONS)
def test_phantoms_are_valid(modality: str, orientation: str) -> None:
    datasets = PHANTOMS[modality](3, orientation=orientation)
    assert [errors(dataset) for dataset in datasets] == [[], [], []]


@pytest.mark.parametrize("modality", PHANTOMS)
def test_phantoms_are_repeatable(modality: str) -> None:
    first, second = (PHANTOMS[modality](3, shuffled_numbers=True) for _ in range(2))
    assert [phantoms.encode(dataset) for dataset in first] == [phantoms.encode(dataset) for dataset in second]
    assert [dataset.InstanceNumber for dataset in first] != [1, 2, 3]
    assert len({dataset.SOPInstanceUID for dataset in first}) == 3


@pytest.mark.parametrize("orientation", phantoms.ORIENTATIONS)
@pytest.mark.parametrize("descending", [False, True])
def test_phantom_slices_are_where_they_say(orientation: str, descending: bool) -> None:
    """The bright spot is found at its place in the patient, computed from position, orientation and spacing alone."""
    datasets = phantoms.ct_phantom(
        31, 64, 60, spacing=2.2, pixel_spacing=(1.0, 1.2), noise=0, orientation=orientation,
        descending=descending,
    )  # fmt: skip
    inside = []
    for dataset in datasets:
        row_cosines, column_cosines = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = (float(value) for value in dataset.PixelSpacing)
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        for row, column in np.argwhere(values == 350):
            inside.append(
                np.array(dataset.ImagePositionPatient, float)
                + row * between_rows * column_cosines
                + column * between_columns * row_cosines
            )
    expected = np.array(phantoms.CENTRE) + 32 * np.array([0.30, -0.50, 0.20])
    assert np.abs(np.mean(inside, axis=0) - expected).max() < 0.6


@pytest.mark.parametrize("name", ["Yamada^Tarou=山田^太郎", "Søren^Åse"])
def test_phantom_names_in_utf8(name: str) -> None:
    dataset = phantoms.mr_phantom(1, charset="ISO_IR 192", patient_name=name)[0]
    assert phantoms.decoded(phantoms.encode(dataset)).PatientName == name
    assert errors(dataset) == []


@pytest.mark.parametrize(
    "transfer_syntax",
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"]
    + ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"],
)  # fmt: skip
def test_compressed_phantoms_keep_their_pixels(transfer_syntax: str) -> None:
    plain = phantoms.pet_phantom(2, 32, 40)
    packed = phantoms.compressed(plain, transfer_syntax)
    assert [dataset.file_meta.TransferSyntaxUID for dataset in plain] == ["1.2.840.10008.1.2.1"] * 2
    for before, after in zip(plain, packed, strict=True):
        assert after.file_meta.TransferSyntaxUID == transfer_syntax
        assert (before.pixel_array == after.pixel_array).all()
        assert before.SOPInstanceUID == after.SOPInstanceUID


def test_errors_are_told_from_the_parents() -> None:
    parent = phantoms.ct_phantom(1)[0]
    del parent.KVP
    derived = phantoms.decoded(phantoms.encode(parent))
    derived.InstanceNumber = 99
    assert len(errors(parent)) == 1 and new_errors(derived, [parent]) == []
    del derived.RescaleSlope
    (error,) = new_errors(derived, [parent])
    assert "RescaleSlope" in error


def test_merged_configuration() -> None:
    base: dict[str, Any] = {"A": 1, "B": {"C": 2, "D": [3]}}
    assert merged(base, {"A": None, "B": {"C": 4}}) == {"B": {"C": 4, "D": [3]}}
    assert base == {"A": 1, "B": {"C": 2, "D": [3]}}


def test_a_server_stores_restarts_and_stops(start_orthanc: StartOrthanc, trivial_plugin: Path) -> None:
    server = start_orthanc(script=trivial_plugin)
    assert server.get("/hello").text == "hello"
    parent = phantoms.ct_phantom(3)
    series_id = server.upload(parent)
    assert server.series_ids() == {series_id}
    assert [phantoms.encode(dataset) for dataset in server.download(series_id)] == [
        phantoms.encode(dataset) for dataset in parent
    ]
    (child,) = server.children()
    assert server.restart().series_ids() == {series_id}
    assert server.survivors == [] and not _alive(child)
    server.delete_all()
    assert server.series_ids() == set()
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 15
    assert server.returncode == 0 and server.survivors == []
    assert "Orthanc has stopped" in server.log()


def test_children_that_survive_are_named_and_ended(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    script = tmp_path / "careless.py"
    script.write_text(f"STOPS_CHILD = False\n{TRIVIAL_PLUGIN}")
    server = start_orthanc(script=script)
    (child,) = server.children()
    server.kill()
    assert server.returncode == -signal.SIGKILL and _alive(child)
    server.stop()
    assert server.survivors == [child] and not _alive(child)


def test_authentication(start_orthanc: StartOrthanc, trivial_plugin: Path) -> None:
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "secret"}}
    server = start_orthanc(users, script=trivial_plugin)
    assert server.get("/hello").status_code == 200
    assert server.get("/hello", auth=("alice", "wrong")).status_code == 401


def test_a_plugin_that_fails_to_load_is_reported(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise RuntimeError('broken on purpose')")
    with pytest.raises(OrthancFailed) as failure:
        start_orthanc(script=script)
    assert failure.value.returncode == 255
    assert "broken on purpose" in failure.value.log


def test_two_series_are_not_one(start_orthanc: StartOrthanc, trivial_plugin: Path) -> None:
    server = start_orthanc(script=trivial_plugin)
    mixed: list[Dataset] = [*phantoms.ct_phantom(1), *phantoms.mr_phantom(1)]
    with pytest.raises(AssertionError, match="one series"):
        server.upload(mixed)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
