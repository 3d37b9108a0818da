"""Which pipelines run where is said once the blueprint folders are loaded, though workers that load them are killed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, cast

import pytest

from derived_series.errors import Busy, StorageError
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.pool.environments import AnyEnvironment, Environments
from derived_series.jobs.pool.worker import WorkerDied
from derived_series.orthanc.catalogues import Catalogues

KILLED = WorkerDied(-signal.SIGKILL)
CRASHED = WorkerDied(-signal.SIGSEGV)

#: A pipeline whose class names an environment that the configuration does not have.
FOUND = Catalogue(pipelines={"boxed": {"Name": "boxed", "File": "boxed.py", "Environment": "gpu"}})


class Loading(Executor):
    """Loads as a test says: each attempt has one of the outcomes, in their order, and the last of them from then on."""

    def __init__(self, *outcomes: Catalogue | WorkerDied):
        self.outcomes = outcomes
        self.attempts = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        outcome = self.outcomes[min(self.attempts, len(self.outcomes) - 1)]
        self.attempts += 1
        future: Future[Any] = Future()
        if isinstance(outcome, Catalogue):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        return future


class Elsewhere:
    """An environment that only loads."""

    def __init__(self, loading: Loading):
        self.loading = loading

    def describe(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        return self.loading.submit(fn, *args)


def loaded(loading: Loading, **elsewhere: Loading) -> tuple[Catalogues, Environments]:
    environments = Environments({name: cast(AnyEnvironment, Elsewhere(each)) for name, each in elsewhere.items()})
    return Catalogues(loading, environments, ("folder",), {}, lambda: None), environments


@pytest.mark.parametrize("kills", [0, 1, 2])
def test_no_pipeline_begins_before_it_is_known_where(kills: int) -> None:
    loading = Loading(*[KILLED] * kills, FOUND)
    _, environments = loaded(loading)
    assert loading.attempts == kills + 1
    assert environments.is_known and environments.name_of("boxed") == "gpu", "it never runs in Orthanc's own Python"


def test_a_request_loads_what_was_killed_too_often_at_the_start() -> None:
    loading = Loading(*[KILLED] * 3, FOUND)
    catalogues, environments = loaded(loading)
    assert loading.attempts == 3 and not environments.is_known
    assert catalogues.catalogue().pipelines["boxed"]["Environment"] == "gpu"
    assert environments.is_known and environments.name_of("boxed") == "gpu"


def test_what_is_always_killed_is_said_and_no_pipeline_begins() -> None:
    catalogues, environments = loaded(Loading(KILLED))
    with pytest.raises(Busy, match="each time the worker process was killed"):
        catalogues.catalogue()
    assert not environments.is_known


def test_an_environment_that_is_always_killed_keeps_no_others_from_running() -> None:
    torch = Loading(KILLED)
    catalogues, environments = loaded(Loading(FOUND), torch=torch)
    assert torch.attempts == 3 and environments.is_known and environments.name_of("boxed") == "gpu"
    assert catalogues.failed_environments() == ["torch"]


def test_an_environment_that_was_killed_once_is_loaded() -> None:
    mine = Catalogue(pipelines={"mine": {"Name": "mine", "File": "mine.py", "Environment": "torch"}})
    catalogues, environments = loaded(Loading(FOUND), torch=Loading(KILLED, mine))
    assert environments.is_known and environments.name_of("mine") == "torch" and not catalogues.failed_environments()


def test_a_file_that_ends_the_process_is_not_loaded_again() -> None:
    loading = Loading(CRASHED)
    catalogues, environments = loaded(loading)
    assert loading.attempts == 1 and environments.is_known and catalogues.is_failed()


class BusyElsewhere:
    """An environment whose workers describe its pipelines when a test says, being busy until then."""

    def __init__(self) -> None:
        self.descriptions: list[Future[Any]] = []
        self.meanwhile: Future[Any] = Future()
        self.meanwhile.set_exception(StorageError("it waits for a worker", transient=True))

    def describe(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        self.descriptions.append(Future())
        return self.descriptions[-1]

    def until_described(self) -> Future[Any]:
        return self.meanwhile


def test_workers_elsewhere_that_are_busy_keep_nobody_waiting() -> None:
    """What is here is listed and begins, and so is what they have described before."""
    here = Catalogue(pipelines={"here": {"Name": "here", "File": "here.py", "Environment": None}})
    there = Catalogue(pipelines={"there": {"Name": "there", "File": "there.py", "Environment": "gpu"}})
    gpu = BusyElsewhere()
    environments = Environments({"gpu": cast(AnyEnvironment, gpu)})
    changes: list[bool] = []
    catalogues = Catalogues(Loading(here), environments, ("folder",), {}, lambda: changes.append(environments.is_known))
    assert environments.is_known and changes[-1]
    catalogue = catalogues.catalogue()
    assert list(catalogue.pipelines) == ["here"] and "waits for a worker" in catalogue.problems[0]["Message"]
    assert catalogues.peek() is not None and not catalogues.failed_environments()

    gpu.meanwhile = gpu.descriptions[0]
    gpu.descriptions[0].set_result(there)
    assert environments.name_of("there") == "gpu"
    catalogues.look_again("gpu")
    assert len(gpu.descriptions) == 2
    assert list(catalogues.catalogue().pipelines) == ["here", "there"]
    gpu.descriptions[1].set_result(Catalogue())
    assert list(catalogues.catalogue().pipelines) == ["here"]
