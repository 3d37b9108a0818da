"""What goes between Orthanc and workers on other machines, and who may say what: without dask and without a server."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import pickle
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import derived_series.errors as errors
import derived_series.jobs.remote.bundle as bundle_module
import derived_series.jobs.remote.remote_executor as remote_executor
from derived_series.dicomweb.client import Connection
from derived_series.errors import Advice, Choice, Conflict, DerivedSeriesError, InvalidRequest, StorageError, Superseded
from derived_series.jobs.box.cache import BundleCache
from derived_series.jobs.box.credentials import read_credentials
from derived_series.jobs.box.file_lock import locked
from derived_series.jobs.messages import Catalogue, DeriveTask, Outcome
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.pool.worker import WorkerLost
from derived_series.jobs.queue.outcomes import is_death, outcome_of
from derived_series.jobs.remote.attempts import HEADER, Attempts, RemoteAttempt
from derived_series.jobs.remote.bundle import PART_BYTES, Bundle, sha256_of
from derived_series.jobs.remote.bundles import Bundles
from derived_series.jobs.remote.cluster import Cluster
from derived_series.jobs.remote.errand import Errand, to_be_done
from derived_series.jobs.remote.remote_environment import RemoteEnvironment
from derived_series.jobs.remote.remote_executor import RemoteExecutor
from derived_series.jobs.remote.versions import difference, versions
from derived_series.jobs.remote.wire import (
    catalogue_from_json,
    catalogue_to_json,
    error_from_json,
    error_to_json,
    outcome_from_json,
    outcome_to_json,
    task_from_json,
    task_to_json,
)
from derived_series.orthanc.config import EnvironmentSettings, Settings
from derived_series.orthanc.http import Request
from derived_series.orthanc.routes.remote import RemoteRoutes

#: In place of what is not asked for.
NO_RUNNER: Any = None
HERE = {"Plugin": "1.2", "Digest": "d" * 64, "Python": "3.11.2", "pydicom": "3.0.1", "numpy": "2.1.0"}


def task(job: str = "job", attempt: int = 1, **fields: Any) -> DeriveTask:
    secret = Connection("http://127.0.0.1:8042", authorization="Bearer of all rights")
    return DeriveTask(job, attempt, "series", {"Pipeline": "p"}, datetime(2026, 1, 2), secret, ("/here",), **fields)


def unused(task: DeriveTask) -> Outcome:
    """What stands in for the work: the executor runs it nowhere."""
    raise AssertionError(task)


def test_a_task_is_the_same_at_the_other_end_but_for_what_is_of_its_machine() -> None:
    sent = task(image_path="/here/image.npy", scratch="/here", replaces=("a",), rule={"Name": "r"}, series_number=7)
    text = json.dumps(task_to_json(sent))
    assert "all rights" not in text and "/here" not in text
    there = Connection("https://orthanc", headers=(("a", "b"),))
    received = task_from_json(json.loads(text), there, ("/there",), "/scratch")
    expected = task(replaces=("a",), rule={"Name": "r"}, series_number=7, scratch="/scratch")
    fields = {name for name in DeriveTask.__slots__ if name not in ("connection", "folders")}
    assert {name: getattr(received, name) for name in fields} == {name: getattr(expected, name) for name in fields}
    assert (received.connection, received.folders) == (there, ("/there",))


@pytest.mark.parametrize(
    "kind", [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, DerivedSeriesError)]
)
def test_every_error_is_the_same_at_the_other_end(kind: type[DerivedSeriesError]) -> None:
    error: DerivedSeriesError
    if kind is errors.HeaderError:
        error = errors.HeaderError([errors.Missing(0x00080060, "Modality", "no value")])
    elif kind is errors.ValidationFailed:
        error = errors.ValidationFailed(["one", "two"])
    elif kind is StorageError:
        error = StorageError("message", details="details", transient=True)
    elif kind is errors.Busy:
        error = errors.Busy("message", retry_after=7)
    else:
        error = kind("message", remedy="remedy", details="details", advice=Advice(Choice.NAN, "0"))
    error.add_note("a trace")
    read = error_from_json(json.loads(json.dumps(error_to_json(error))))
    assert type(read) is kind and str(read) == str(error) and read.args == error.args
    assert vars(read) == vars(error)


def test_an_error_of_a_class_of_the_users_is_the_nearest_of_ours() -> None:
    class Mine(errors.PixelError):
        pass

    assert type(error_from_json(error_to_json(Mine("x")))) is errors.PixelError


@pytest.mark.parametrize(
    "document", [[], {}, {"Result": 1}, {"Error": 3}, {"Error": {"Kind": "Choice", "Message": ""}}, {"Result": None}]
)
def test_what_is_not_an_outcome_is_refused(document: object) -> None:
    with pytest.raises(InvalidRequest):
        outcome_from_json(document)


def test_outcomes_and_catalogues() -> None:
    outcome = Outcome({"ID": "x"}, None, clean=True, sent=True)
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome
    failed = outcome_from_json(outcome_to_json(Outcome(error=Conflict("no"), clean=False)))
    assert isinstance(failed.error, Conflict) and not failed.clean
    catalogue = Catalogue({"ct": {}}, {"p": {}}, {"numpy": {}}, [{"File": "x"}])
    assert catalogue_from_json(json.loads(json.dumps(catalogue_to_json(catalogue)))) == catalogue


def test_an_errand_has_where_to_ask_and_a_ticket_and_no_more() -> None:
    errand = Errand("https://orthanc", "/series/x/jobs/y", "the ticket", "PEM", "/dicom-web", 300.0)
    assert Errand.from_json(errand.to_json()) == errand
    carried = to_be_done(json.dumps, errand.to_json())
    assert "ticket" not in repr(carried), "which dask writes into its log"
    assert json.loads(pickle.load(carried)) == errand.to_json(), "reading it runs it"


# -- who may speak for an attempt ----------------------------------------------------------------------------------


def begun(attempts: Attempts, key: str = "key", job: str = "job", **changes: Any) -> tuple[str, list[Outcome]]:
    ends: list[Outcome] = []
    fields = {"ended": ends.append, "check": lambda versions: None, **changes}
    return attempts.begin(RemoteAttempt(key, job, 1, {"Task": 1}, **fields)), ends


def test_a_ticket_is_exchanged_once_and_a_token_ends_with_its_attempt() -> None:
    attempts = Attempts()
    ticket, _ = begun(attempts)
    with pytest.raises(Superseded):
        attempts.claim(ticket, "another job", "w", {})
    ticket, _ = begun(attempts)
    attempt, token = attempts.claim(ticket, "job", "w", {})
    assert attempt.worker == "w" and attempts.is_live(token) and attempts.of(token, "job") is attempt
    for wrong in [(ticket, "job"), (token, "job"), ("", "job")]:
        with pytest.raises(Superseded):
            attempts.claim(*wrong, "w", {})
    for secret, job in [(token, "another job"), (ticket, "job"), (None, "job")]:
        with pytest.raises(Superseded):
            attempts.of(secret, job)
    assert [each.key for each in attempts.silent(-1.0, {"key"})] == ["key"]
    assert attempts.silent(60.0, {"key"}) == attempts.silent(-1.0, {"another"}) == []
    attempts.end("key")
    assert not attempts.is_live(token) and not attempts.has("job")
    with pytest.raises(Superseded):
        attempts.of(token, "job")


def test_a_ticket_of_an_attempt_that_has_ended_is_worth_nothing() -> None:
    attempts = Attempts()
    ticket, _ = begun(attempts)
    attempts.end("key")
    with pytest.raises(Superseded):
        attempts.claim(ticket, "job", "w", {})


def test_a_worker_that_may_not_have_it_ends_the_attempt_with_words() -> None:
    attempts = Attempts()
    ticket, ends = begun(attempts, check=lambda versions: Conflict(f"numpy {versions['numpy']}"))
    with pytest.raises(Conflict, match=r"numpy 1\.26"):
        attempts.claim(ticket, "job", "w", {"numpy": "1.26"})
    assert [str(each.error) for each in ends] == ["numpy 1.26"]


def test_an_attempt_that_ends_while_it_is_claimed_is_nobodys() -> None:
    attempts = Attempts()

    def cancelled_meanwhile(versions: dict[str, Any]) -> None:
        attempts.end("key")

    ticket, _ = begun(attempts, check=cancelled_meanwhile)
    _, token = attempts.claim(ticket, "job", "w", {})
    assert not attempts.is_live(token) and attempts.claimed(["key"]) == []
    with pytest.raises(Superseded):
        attempts.of(token, "job")


def test_nothing_is_taken_for_jobs_that_another_orthanc_may_have_taken_up() -> None:
    """As when this one was frozen, and wakes: what was sent to it meanwhile is answered before it knows of it."""
    is_silent = False
    attempts = Attempts(lambda: is_silent)
    _, token = attempts.claim(begun(attempts)[0], "job", "w", {})
    later, _ = begun(attempts, "later")
    _, of_catalogue = attempts.claim(attempts.begin(catalogue_attempt()), "gpu", "w", {})
    is_silent = True
    assert not attempts.is_live(token)
    for ask in (lambda: attempts.of(token, "job"), lambda: attempts.claim(later, "job", "w", {})):
        with pytest.raises(Superseded):
            ask()
    assert attempts.is_live(of_catalogue), "it is of no job"


@pytest.mark.parametrize("path", ["bundle", "file"])
def test_who_fetches_blueprint_folders_has_been_heard(tmp_path: Path, path: str) -> None:
    attempts, bundle = Attempts(), library(tmp_path)
    attempt, token = attempts.claim(begun(attempts)[0], "job", "w", {})
    routes: Any = RemoteRoutes(attempts, Bundles([str(tmp_path / "one"), str(tmp_path / "two")]), NO_RUNNER)
    attempt.heard = 0.0
    groups = (bundle.digest, bundle.files["0/a.py"].sha256)
    request = Request("GET", "/", groups, {}, {HEADER.lower(): token}, b"", "")
    getattr(routes, path)(request)
    assert attempt.heard > 0.0
    attempts.end("key")
    with pytest.raises(Superseded, match="only workers that make an attempt"):
        getattr(routes, path)(request)


def catalogue_attempt() -> RemoteAttempt:
    return RemoteAttempt("catalogue", "gpu", 0, {}, lambda outcome: None, lambda versions: None)


# -- versions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"Python": "3.14.0", "pydicom": "3.0.9", "numpy": "2.4.1"}, None),
        ({"Plugin": "1.1"}, "it has version 1.1 of the plugin, Orthanc has 1.2"),
        ({"Digest": "e" * 64}, "but of other sources (eeeeeeeeeeee, dddddddddddd)"),
        ({"pydicom": "3.1.0"}, "it has pydicom 3.1.0, Orthanc has 3.0.1"),
        ({"numpy": "1.26.4"}, "it has numpy 1.26.4, Orthanc has 2.1.0"),
        ({"numpy": "none"}, "numpy is not installed there, Orthanc has 2.1.0"),
    ],
)
def test_versions_that_matter(changes: dict[str, str], words: str | None) -> None:
    words_of_it = difference(HERE, {**HERE, **changes}, "Same")
    assert (words_of_it is None) if words is None else (words_of_it is not None and words in words_of_it)
    assert (difference(HERE, {**HERE, **changes}, "Any") is None) == (not changes.keys() & {"Plugin", "Digest"})


def test_here_is_what_is_installed_here() -> None:
    import numpy
    import pydicom

    assert difference(versions(), versions(), "Same") is None
    assert (versions()["numpy"], versions()["pydicom"]) == (numpy.__version__, pydicom.__version__)


# -- blueprint folders ---------------------------------------------------------------------------------------------


def library(folder: Path) -> Bundle:
    (folder / "one" / "package").mkdir(parents=True)
    (folder / "one" / "__pycache__").mkdir()
    (folder / "two").mkdir()
    (folder / "one" / "a.py").write_text("A = 1\n")
    (folder / "one" / "package" / "__init__.py").write_text("")
    (folder / "one" / "__pycache__" / "a.pyc").write_text("no")
    (folder / "one" / ".hidden").write_text("no")
    (folder / "two" / "weights.bin").write_bytes(bytes(range(256)) * (PART_BYTES // 256) + b"the rest")
    return Bundle.of([str(folder / "one"), str(folder / "two")])


def test_blueprint_folders_travel_by_their_content(tmp_path: Path) -> None:
    bundle = library(tmp_path / "here")
    assert sorted(bundle.files) == ["0/a.py", "0/package/__init__.py", "1/weights.bin"]
    asked: list[tuple[str, int]] = []

    def part(sha256: str, offset: int) -> bytes:
        asked.append((sha256, offset))
        content = bundle.part(sha256, offset)
        assert len(content) <= PART_BYTES
        return content

    cache = BundleCache(tmp_path / "there")
    folders = cache.folders(bundle.digest, lambda: bundle.manifest, part)
    assert Path(folders[0], "a.py").read_text() == "A = 1\n" and Path(folders[0], "package", "__init__.py").exists()
    assert Path(folders[1], "weights.bin").read_bytes() == (tmp_path / "here" / "two" / "weights.bin").read_bytes()
    assert len(asked) == 3, "the empty file has no part"
    asked.clear()
    assert BundleCache(tmp_path / "there").folders(bundle.digest, lambda: b"", part) == folders and asked == []
    (tmp_path / "here" / "one" / "a.py").write_text("A = 2\n")
    changed = Bundle.of([str(tmp_path / "here" / "one"), str(tmp_path / "here" / "two")])
    assert changed.digest != bundle.digest
    again = cache.folders(changed.digest, lambda: changed.manifest, changed.part)
    assert Path(again[0], "a.py").read_text() == "A = 2\n" and Path(folders[0], "a.py").read_text() == "A = 1\n"


def test_what_is_not_what_its_digest_says_is_refused(tmp_path: Path) -> None:
    bundle = library(tmp_path / "here")
    cache = BundleCache(tmp_path / "there")
    with pytest.raises(StorageError, match="list of the blueprint folders is not what"):
        cache.folders(bundle.digest, lambda: bundle.manifest + b" ", bundle.part)
    with pytest.raises(StorageError, match="0/a.py is not what"):
        cache.folders(bundle.digest, lambda: bundle.manifest, lambda sha256, offset: b"B = 1\n")
    with pytest.raises(StorageError, match="is not what"):
        cache.folders(bundle.digest, lambda: bundle.manifest, lambda sha256, offset: b"")
    evil = json.dumps({"Folders": 1, "Files": {"0/../../evil.py": ["0" * 64, 1]}}).encode()
    with pytest.raises(StorageError, match="is not what"):
        cache.folders(hashlib.sha256(evil).hexdigest(), lambda: evil, bundle.part)
    assert list((tmp_path / "there" / "bundles").iterdir()) == []
    (tmp_path / "here" / "one" / "a.py").write_text("A = 12345\n")
    with pytest.raises(Conflict, match=r"a\.py has changed since"):
        bundle.part(hashlib.sha256(b"A = 1\n").hexdigest(), 0)


def small_bundle(folder: Path, *names: str) -> Bundle:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(f"{name} of {folder.name}")
    return Bundle.of([str(folder)])


def test_what_a_killed_download_has_left_is_removed(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "here", "a.py")
    there = tmp_path / "there"
    BundleCache(there)
    lefts = [there / "files" / "part-1", there / "bundles" / "part-2", there / "bundles" / "part-3"]

    def leave() -> None:
        lefts[0].write_text("a part")
        for left in lefts[1:]:
            (left / "0").mkdir(parents=True)

    leave()
    cache = BundleCache(there)
    assert not any(left.exists() for left in lefts), "at the start"
    leave()
    cache.folders(bundle.digest, lambda: bundle.manifest, bundle.part)
    assert not any(left.exists() for left in lefts), "of another worker that was killed meanwhile"


def test_the_start_of_one_worker_leaves_what_another_downloads(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "here", "a.py")

    def part(sha256: str, offset: int) -> bytes:
        BundleCache(tmp_path / "there")
        return bundle.part(sha256, offset)

    (folder,) = BundleCache(tmp_path / "there").folders(bundle.digest, lambda: bundle.manifest, part)
    assert (Path(folder) / "a.py").read_text() == "a.py of here"


def test_one_worker_of_a_folder_removes_nothing_that_another_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has been fetched is in no bundle for a moment."""
    cache = BundleCache(tmp_path / "there")
    bundle = small_bundle(tmp_path / "here", "a.py")
    fetches, forgets = os.link, BundleCache._forget
    is_locked: list[bool] = []

    def link(source: Path, target: Path) -> None:
        is_locked.append(locked(cache._lock, wait=False) is None)
        fetches(source, target)

    def forget(other: BundleCache) -> None:
        is_locked.append(locked(cache._lock, wait=False) is None)
        forgets(other)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(BundleCache, "_forget", forget)
    cache.folders(bundle.digest, lambda: bundle.manifest, bundle.part)
    assert is_locked == [True, True]


def test_folders_that_a_worker_uses_are_kept_for_it(tmp_path: Path) -> None:
    cache, other = BundleCache(tmp_path / "there"), BundleCache(tmp_path / "there")
    bundles = [small_bundle(tmp_path / f"here {number}", "a.py") for number in range(9)]
    (folder,) = cache.folders(bundles[0].digest, lambda: bundles[0].manifest, bundles[0].part)
    os.utime(Path(folder).parent, (0, 0))
    for each in bundles[1:8]:
        other.folders(each.digest, lambda each=each: each.manifest, each.part)  # type: ignore[misc]
    assert [each.name for each in Path(folder).iterdir()] == ["a.py"]
    assert len(list((tmp_path / "there" / "bundles").iterdir())) <= 6, "others are removed"
    cache.close()
    other.folders(bundles[8].digest, lambda: bundles[8].manifest, bundles[8].part)
    assert not Path(folder).exists()


# -- the executor, without a scheduler -----------------------------------------------------------------------------


@pytest.fixture
def executor() -> RemoteExecutor:
    cluster = Cluster("tls://box:1", "https://orthanc", "/dicom-web", 300.0, workers=2, resources={"GPU": 1})
    return RemoteExecutor("gpu", cluster, Interpreter.ours(), Attempts(), HERE, lambda: "0" * 64)


def note(executor: RemoteExecutor, *workers: dict[str, Any], problem: str | None = None) -> None:
    plain = {"Resources": {"GPU": 1.0}, "Threads": 1, "Report": {"Versions": HERE}, "Silent": False}
    named = [{"Address": f"tls://{n}", "Name": f"w{n}", **plain, **worker} for n, worker in enumerate(workers)]
    executor._note({"Problem": problem, "Workers": named})


def test_a_job_says_what_it_waits_for(executor: RemoteExecutor) -> None:
    assert "the scheduler tls://box:1 is not reached" in str(executor.lack) and not executor.has_place
    note(executor)
    assert executor.lack == "waits for a worker with GPU: none is connected"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"Resources": {}}, "it lacks the GPU that a job claims"),
        ({"Report": None}, "without the plugin's preload"),
        ({"Threads": 4}, "it has 4 threads"),
        ({"Silent": True}, "the scheduler hears nothing of it"),
        (
            {"Report": {"Versions": HERE, "Unreached": {"https://orthanc": "401"}}},
            "reach Orthanc at https://orthanc: 401",
        ),
        ({"Report": {"Versions": {**HERE, "numpy": "1.26.4"}}}, "it has numpy 1.26.4, Orthanc has 2.1.0"),
    ]
    for worker, words in wrong:
        note(executor, worker)
        assert words in str(executor.lack) and "w0" in str(executor.lack) and not executor.has_place
        assert words in executor.processes()[0]["Problem"]
    note(executor, {"Report": {"Versions": HERE, "Unreached": {"https://another-orthanc": "404"}}})
    assert executor.lack is None and executor.has_place, "it reaches this one"
    note(executor, problem="TimeoutError")
    assert "TimeoutError" in str(executor.lack) and not executor.has_place


def test_a_scheduler_that_is_not_reached_is_in_the_log_once(
    executor: RemoteExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    for port in range(3):  # dask's words are others with every try
        note(executor, problem=f"lost at port {port}")
    assert [each.getMessage() for each in caplog.records] == [
        "environment gpu: the scheduler tls://box:1 is not reached: lost at port 0"
    ]
    note(executor)
    note(executor, {})
    assert [each.getMessage() for each in caplog.records][1:] == [
        "environment gpu: the scheduler tls://box:1 is connected"
    ]


def test_no_more_jobs_at_once_than_workers_that_can_take_them(executor: RemoteExecutor) -> None:
    note(executor, {}, {"Resources": {}})
    first = executor.submit(unused, task("one"))
    assert not executor.has_place
    assert executor._calls.popitem()[1].message["Workers"] == ["tls://0"], "dask gives it to none that cannot take it"
    note(executor, {}, {}, {})
    executor.submit(unused, task("two"))
    executor.submit(unused, task("three"))
    assert not executor.has_place, "as the configuration says"
    assert not first.done()


def test_workers_that_are_missing_are_counted(executor: RemoteExecutor, tmp_path: Path) -> None:
    environment = RemoteEnvironment("gpu", executor._cluster, executor, tmp_path / "gpu.json", lambda: "a")
    environments = Environments({"gpu": environment})
    for workers, fitting in (([], 0), ([{}, {"Silent": True}], 1), ([{}, {}, {}], 2)):
        note(executor, *workers)
        assert environments.elsewhere() == (fitting, 2)


def test_cancelling_takes_effect_at_once(executor: RemoteExecutor) -> None:
    note(executor, {})
    future = executor.submit(unused, task())
    (call,) = executor._calls.values()
    ticket = json.loads(call.message["Errand"])["ticket"]
    _, token = executor._attempts.claim(ticket, "job", "w0", HERE)
    assert [each["Job"] for each in executor.processes()] == ["job"]
    assert future.cancel() and isinstance(future.exception(), CancelledError)
    assert not executor._attempts.is_live(token) and executor.has_place and not future.cancel()


def test_a_worker_of_other_versions_is_refused_when_it_asks(executor: RemoteExecutor) -> None:
    """It may have connected after the task was sent."""
    note(executor, {})
    future = executor.submit(unused, task())
    (call,) = executor._calls.values()
    with pytest.raises(DerivedSeriesError):
        executor._attempts.claim(json.loads(call.message["Errand"])["ticket"], "job", "w", {**HERE, "pydicom": "2.4"})
    outcome: Any = future.result(0)
    assert "'gpu' is refused: it has pydicom 2.4, Orthanc has 3.0.1" in outcome.error.message


def test_a_silent_worker_is_given_up(executor: RemoteExecutor) -> None:
    note(executor, {})
    future = executor.submit(unused, task())
    (call,) = executor._calls.values()
    executor._attempts.claim(json.loads(call.message["Errand"])["ticket"], "job", "w0", HERE)
    executor._lost(call.key, "nothing was heard of it")
    error = outcome_of(future).error
    assert isinstance(error, StorageError) and error.transient and "nothing was heard" in error.message
    assert is_death(future), "which is told as the death of any worker"


def test_an_environment_gives_up_its_own_attempts_alone(executor: RemoteExecutor) -> None:
    """Each has a time of its own after which a worker counts as lost."""
    hasty = RemoteExecutor(
        "hasty",
        replace(executor._cluster, lost_after=0.01),
        Interpreter.ours(),
        executor._attempts,
        HERE,
        lambda: "0" * 64,
    )
    tokens, futures = [], []
    for each in (executor, hasty):
        note(each, {})
        futures.append(each.submit(unused, task(each._name)))
        (call,) = each._calls.values()
        ticket = json.loads(call.message["Errand"])["ticket"]
        tokens.append(executor._attempts.claim(ticket, each._name, "w0", HERE)[1])
    (key,) = executor._calls
    hasty._lost(key, "it is another's")
    watching = threading.Thread(target=hasty._watch)
    watching.start()
    assert isinstance(futures[1].exception(20), WorkerLost) and not executor._attempts.is_live(tokens[1])
    hasty._stopping.set()
    watching.join()
    assert not futures[0].done() and executor._attempts.is_live(tokens[0])


def test_an_attempt_that_nobody_has_is_tried_again_without_a_word_of_a_death(executor: RemoteExecutor) -> None:
    note(executor, {})
    future = executor.submit(unused, task())
    (call,) = executor._calls.values()
    executor._lost(call.key, "the scheduler has lost it")
    error = outcome_of(future).error
    assert isinstance(error, StorageError) and error.transient and not is_death(future)


def test_a_restricted_task_whose_workers_have_gone_is_tried_again(executor: RemoteExecutor) -> None:
    note(executor, {}, {"Resources": {}})
    future = executor.submit(unused, task())
    note(executor, {"Address": "tls://another"})
    assert isinstance(future.exception(0), StorageError)


def test_what_its_pipelines_are_is_kept_for_times_without_a_worker(executor: RemoteExecutor, tmp_path: Path) -> None:
    file = tmp_path / "environments" / "gpu.json"
    digest = ["a"]
    environment = RemoteEnvironment("gpu", executor._cluster, executor, file, lambda: digest[0])
    with pytest.raises(StorageError, match="none is connected|not reached"):
        environment.describe(len, ()).result(0)
    note(executor, {})
    asked = environment.describe(len, ())
    with pytest.raises(StorageError, match="waits for a worker that describes them"):
        environment.until_described().result(0)
    (call,) = executor._calls.values()
    attempt, _ = executor._attempts.claim(json.loads(call.message["Errand"])["ticket"], "gpu", "w0", HERE)
    catalogue = Catalogue({}, {"p": {"Name": "p", "Environment": "gpu"}}, {}, [])
    attempt.ended(Outcome(result=catalogue_to_json(catalogue)))
    assert asked.result(0) == catalogue
    note(executor)
    digest[0] = "b"
    assert environment.describe(len, ()).result(0) == catalogue, "of other blueprints, which is better than nothing"
    note(executor, {})
    assert not environment.describe(len, ()).done(), "a worker is asked"
    assert environment.until_described().result(0) == catalogue
    file.unlink()
    assert environment.until_described().result(0) == catalogue, "although the disk is full"


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "either a Python, or the Scheduler"),
        ({"Python": "python", "Scheduler": "tcp://box:1"}, "either a Python, or the Scheduler"),
        ({"Python": "python", "Certificates": "x"}, "only of workers on other machines"),
        ({"Scheduler": "tls://box:1"}, "needs Certificates"),
        ({"Scheduler": "tcp://box:1", "Certificates": "x"}, "tls://"),
        ({"Scheduler": "tcp://box:1"}, 'not encrypted.* set "AllowUnencrypted": true'),
        ({"Scheduler": "tcp://0.0.0.0:1"}, "not encrypted"),
        ({"Python": "python", "AllowUnencrypted": True}, "only of workers on other machines"),
        ({"Scheduler": "box:1"}, "Scheduler"),
        ({"Scheduler": "tcp://127.0.0.1:1", "LostAfterSeconds": 0.5}, "LostAfterSeconds"),
        ({"Scheduler": "tls://box:123456", "Certificates": "x"}, "Scheduler"),
        ({"Scheduler": "tls://user:password@box:1", "Certificates": "x"}, "Scheduler"),
        ({"Scheduler": "tcp://127.0.0.1:1", "OrthancUrl": "https://user:password@orthanc"}, "OrthancUrl"),
    ],
)
def test_an_environment_is_here_or_elsewhere(keys: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EnvironmentSettings.model_validate(keys)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "localhost", "[::1]"])
def test_one_machine_needs_no_encryption(host: str) -> None:
    assert not EnvironmentSettings.model_validate({"Scheduler": f"tcp://{host}:1"}).is_unencrypted


@pytest.mark.parametrize("name", ["../gpu", "a/b", "g p u"])
def test_the_name_of_one_elsewhere_is_good_for_addresses_and_files(name: str) -> None:
    with pytest.raises(InvalidRequest, match="a part of addresses and file names"):
        Settings.of({"Environments": {name: {"Scheduler": "tcp://127.0.0.1:1"}}})
    assert Settings.of({"Environments": {name: {"Python": "python"}}}).environments


def test_what_other_machines_have_is_not_counted_here() -> None:
    far = {"Scheduler": "tcp://box:1", "AllowUnencrypted": True, "Resources": {"GPU": 4}}
    here = {"Python": "python", "Resources": {"GPU": 1}}
    settings = Settings.of({"Environments": {"far": far, "here": here}, "Resources": {"GPU": 2}})
    assert settings.total_resources == {"GPU": 2}


def test_credentials_are_nobody_elses_to_read(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# of the box\nworker:pass:word\ntoken: abc\n")
    with pytest.raises(InvalidRequest, match="others may read"):
        read_credentials(file)
    file.chmod(0o600)
    assert read_credentials(file) == (("Authorization", "Basic d29ya2VyOnBhc3M6d29yZA=="), ("token", "abc"))
    file.write_text("nothing\n")
    with pytest.raises(InvalidRequest, match="neither user:password nor"):
        read_credentials(file)


def test_a_file_of_the_blueprint_folders_that_cannot_be_read_is_named_and_tried_again(
    tmp_path: Path, executor: RemoteExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("of the pipelines")
    is_readable = False

    def digest_of(path: Path) -> str:
        if not is_readable:
            raise PermissionError(13, "Permission denied", str(path))
        return sha256_of(path)

    monkeypatch.setattr(bundle_module, "sha256_of", digest_of)
    monkeypatch.setattr(remote_executor, "_READ_AGAIN_SECONDS", 0.01)
    bundles, starts = Bundles([str(tmp_path)]), threading.Event()
    executor._bundle = bundles.digest
    monkeypatch.setattr(executor, "_start", starts.set)  # a process of its own, for which there is no scheduler
    executor.start()
    end = time.monotonic() + 20
    while executor._unreadable is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "notes.txt in the blueprint folders cannot be read: Permission denied" in str(executor.lack)
    assert str(executor.problem) in str(executor.lack) and not starts.is_set()
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps({"Bundle": "a", "Catalogue": catalogue_to_json(Catalogue({}, {}, {}, []))}))
    environment = RemoteEnvironment("gpu", executor._cluster, executor, file, bundles.digest)
    assert environment.describe(len, ()).exception(0) is None, "what is known of its pipelines is still known"
    is_readable = True
    assert starts.wait(20)
    assert "notes.txt" not in str(executor.lack)
    executor.shutdown()
