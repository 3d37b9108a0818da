"""Jobs, verdicts and metadata of every released version are read; those of a newer one are refused with words."""

from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import release_fixture
from derived_series.errors import DerivedSeriesError
from derived_series.jobs.metadata import EXPLANATION
from derived_series.jobs.queue.schema import VERSION
from derived_series.jobs.queue.sqlite_database import DATABASE
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.rules.log import FiringLog, Seen
from release_fixture import DERIVED, FIRED, JOBS, PARENT, PROVENANCE, RELEASES, RESULT, VERDICT
from route_client import RouteClient

ROOT = RELEASES.parent.parent
KEPT = sorted(path.name for path in RELEASES.iterdir())


def jobs_folder(folder: Path, version: str) -> Path:
    """The jobs folder that a version has left."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        database.executescript((RELEASES / version / "jobs.sql").read_text("utf-8"))
    (folder / "images" / "waits").mkdir(parents=True)
    (folder / "images" / "waits" / "image.npy").write_bytes(b"image")
    return folder


def test_every_version_has_its_files() -> None:
    """Another version than the last: run scripts/release_fixture.py."""
    versions = set(re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE))
    versions.add(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])
    assert versions <= set(KEPT)


@pytest.mark.parametrize("version", KEPT)
def test_the_jobs_of_a_version_are_read(version: str, tmp_path: Path) -> None:
    with closing(JobStore(jobs_folder(tmp_path / "jobs", version))) as store:
        assert tuple(store.page()) == JOBS
        (waiting,) = store.unfinished()
        image = store.image_path(waiting)
        assert image is not None and image.read_bytes() == b"image"
        log = FiringLog(store)
        assert log.of_job("done") == FIRED and log.seen() == Seen(7, 6) and log.waiting() == [PARENT]
        assert VerdictLog(store).of(DERIVED) == VERDICT


@pytest.fixture(params=KEPT)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RouteClient]:
    """The plugin, started on what a version has left."""
    jobs = jobs_folder(tmp_path / "jobs", request.param)
    route_client = RouteClient(tmp_path, JobsFolder=str(jobs), BlueprintFolders=[str(ROOT / "blueprints")], Workers=1)
    metadata = json.loads((RELEASES / request.param / "metadata.json").read_text("utf-8"))
    route_client.gateway.add_series(PARENT, "i1")
    route_client.gateway.add_series(DERIVED, "i2")
    for number, value in metadata.items():
        route_client.gateway.resources[f"/series/{DERIVED}/metadata/{number}"] = value
    route_client.gateway.resources[f"/series/{DERIVED}/attachments/{EXPLANATION}/data"] = []
    yield route_client
    route_client.gateway.end()


def test_the_routes_answer_what_a_version_has_left(client: RouteClient) -> None:
    assert client.get(f"/series/{PARENT}/jobs").json == [job.id for job in JOBS]
    done = client.get(f"/series/{PARENT}/jobs/done").json
    assert done["State"] == "Success" and done["Content"]["Result"]["SeriesInstanceUID"] == RESULT["SeriesInstanceUID"]
    failed = client.get(f"/series/{PARENT}/jobs/failed").json
    assert failed["State"] == "Failure" and "the moon is in the wrong phase" in json.dumps(failed)
    review = client.get(f"/series/{DERIVED}/review").json
    assert (review["State"], review["User"]) == ("Accepted", "Anna")
    provenance = client.get(f"/series/{DERIVED}/provenance").json
    assert {key: provenance[key] for key in PROVENANCE} == PROVENANCE
    assert [each["ID"] for each in client.get("/derived-series/recent").json] == [DERIVED]


def test_jobs_of_a_newer_version_are_refused_with_words_and_stay_as_they_are(tmp_path: Path) -> None:
    folder = jobs_folder(tmp_path / "jobs", KEPT[-1])
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        database.execute(f"PRAGMA user_version={VERSION + 1}")
    before = (folder / DATABASE).read_bytes()
    with pytest.raises(DerivedSeriesError, match=f"has version {VERSION + 1}, this plugin knows {VERSION}") as refusal:
        RouteClient(tmp_path, JobsFolder=str(folder))
    assert "use the plugin's version that wrote it" in str(refusal.value)
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    assert (folder / DATABASE).read_bytes()[100:] == before[100:], "nothing but the head, where the journal is named"


def test_what_a_version_wrote_is_what_its_script_writes(tmp_path: Path) -> None:
    """The script itself works, so that the next version can be kept."""
    release_fixture.write(tmp_path / "now")
    assert (tmp_path / "now" / "metadata.json").read_text("utf-8")
    assert "INSERT INTO" in (tmp_path / "now" / "jobs.sql").read_text("utf-8")
