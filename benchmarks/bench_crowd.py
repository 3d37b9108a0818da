"""Orthancs that hold studies of tiny instances, as many as an archive has after a while.

Filling one takes minutes, over PostgreSQL ten: what was filled is kept in ``.run/crowds`` for the next time.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from orthanc_server import INDEX_PLUGINS, REPOSITORY, OrthancServer
from phantoms import ct_phantom, encode
from postgresql_server import PostgresqlServer

CROWDS = REPOSITORY / ".run" / "crowds"
#: The database of an Orthanc in a PostgreSQL.
DATABASE = "orthanc"

#: Instances of a study, which is one series; requests under way at a time.
INSTANCES = 50
_CONNECTIONS = 4
_SECONDS = 600.0

#: An Orthanc without the plugin.
_BARE: dict[str, Any] = {"Plugins": [], "PythonScript": None, "Python": None}

#: What stands in the template of an instance for what each one has of its own; of its length.
_UIDS = tuple(f"2.25.{number:039d}" for number in (10**38, 2 * 10**38, 3 * 10**38))
_PATIENT, _NUMBER = "CROWD00000", "999999"


def storage(studies: int) -> Path:
    """The storage of an Orthanc with so many studies: its index is SQLite's."""
    kept = CROWDS / f"sqlite-{studies}"
    if not kept.exists():
        with _beside(kept) as folder:
            with OrthancServer(folder, {**_BARE, "SyncStorageArea": False}) as server:
                _fill(server, studies)
            (folder / "storage").rename(kept)
    return kept


def data(studies: int) -> Path:
    """The data of a PostgreSQL with an Orthanc's index and files in its database: so many studies."""
    kept = CROWDS / f"postgresql-{studies}"
    if not kept.exists():
        with _beside(kept) as folder, PostgresqlServer() as database:
            database.new_database(DATABASE)
            plugins = {"Plugins": [str(path) for path in INDEX_PLUGINS], "PostgreSQL": database.orthanc(DATABASE)}
            with OrthancServer(folder, {**_BARE, **plugins}) as server:
                _fill(server, studies)
            database.save(folder / "data")
            (folder / "data").rename(kept)
    return kept


@contextmanager
def _beside(kept: Path) -> Iterator[Path]:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="filling-", dir=kept.parent) as name:
        yield Path(name)


def _fill(server: OrthancServer, studies: int) -> None:
    """Store studies of other patients, a zip each.

    :raises AssertionError: Orthanc has not as many instances afterwards.
    """
    model = template()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for done in [pool.submit(_send, server.url, model, study) for study in range(studies)]:
            done.result()
    count = server.json("/statistics")["CountInstances"]
    if count < studies * INSTANCES:
        raise AssertionError(f"Orthanc has {count} instances, and was sent {studies * INSTANCES}")


def _send(url: str, model: bytes, study: int) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for number, file in enumerate(files(model, study)):
            archive.writestr(f"{number}.dcm", file)
    requests.post(f"{url}/instances", data=body.getvalue(), timeout=_SECONDS).raise_for_status()


def files(model: bytes, study: int) -> Iterator[bytes]:
    """The instances of a study; its number is in their UIDs. :param model: see ``template``."""
    study_uid, series_uid, instance_uid = _UIDS
    first = study * INSTANCES
    of_study = (
        model.replace(study_uid.encode(), b"2.25.%039d" % (10**38 + study))
        .replace(series_uid.encode(), b"2.25.%039d" % (2 * 10**38 + study))
        .replace(_PATIENT.encode(), b"CROWD%05d" % study)
    )
    for number in range(INSTANCES):
        yield of_study.replace(instance_uid.encode(), b"2.25.%039d" % (3 * 10**38 + first + number)).replace(
            _NUMBER.encode(), b"%-6d" % (number + 1)
        )


def template() -> bytes:
    """An instance that has in the place of each value of its own another of the same length."""
    (dataset,) = ct_phantom(1, 8, 8, patient_id=_PATIENT, patient_name=f"{_PATIENT}^Crowd")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = _UIDS
    dataset.InstanceNumber = int(_NUMBER)
    return encode(dataset)
