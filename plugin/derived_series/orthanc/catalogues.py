"""Loads the blueprint folders in each Python, and merges their descriptions."""

from __future__ import annotations

import copy
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from typing import Any

from derived_series.errors import Busy, DerivedSeriesError, UserCodeError
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.worker import WorkerDied
from derived_series.jobs.work.entry import describe
from derived_series.user_code import described

_log = logging.getLogger(__name__)

#: Seconds that a request waits for the blueprint folders to be loaded, which begins at the start.
_LOADING_SECONDS = 60.0

#: How often they are loaded, at the start and for a request, when the worker that does it is killed from outside.
_TRIES = 3

#: The name of Orthanc's own Python among the environments.
OURS = ""


class Catalogues:
    """The catalogue of the blueprint folders: each Python loads them, and describes the pipelines that it runs.

    :param chosen: the environments that the configuration chooses for pipelines, by pipeline name.
    :param known: called when it is known which pipelines run where.
    """

    def __init__(
        self,
        executor: Executor,
        environments: Environments,
        folders: tuple[str, ...],
        chosen: Mapping[str, str],
        known: Callable[[], None],
    ):
        self._executor = executor
        self._environments = environments
        self._folders = folders
        self._chosen = chosen
        self._known = known
        self._lock = threading.Lock()
        self._loading: dict[str, Future[Catalogue]] = {}
        self._kills: Counter[str] = Counter()
        for name in (OURS, *environments):
            self._load(name)
        self._tell()

    def _load(self, name: str) -> Future[Catalogue]:
        if name == OURS:
            loading = self._executor.submit(describe, self._folders)
        else:
            loading = self._environments[name].describe(describe, self._folders)
        with self._lock:
            self._loading[name] = loading
        loading.add_done_callback(lambda _: self._log_failure(name, loading))
        loading.add_done_callback(lambda _: self._tell())
        return loading

    @staticmethod
    def _log_failure(name: str, loading: Future[Catalogue]) -> None:
        """Log once why the folders could not be loaded, with the cause first."""
        if loading.cancelled() or (error := loading.exception()) is None:
            return
        what = f"the blueprint folders could not be loaded{f' in the environment {name!r}' if name != OURS else ''}"
        _log.error("%s: %s", described(error), what, exc_info=_unexpected(error))

    def _answers(self) -> dict[str, Future[Catalogue]]:
        """The answer of each Python; of one whose workers may take long to answer, the one to use until then."""
        with self._lock:
            loading = dict(self._loading)
        return {name: self._until_loaded(name, each) or each for name, each in loading.items()}

    def _until_loaded(self, name: str, loading: Future[Catalogue]) -> Future[Catalogue] | None:
        return None if name == OURS or loading.done() else self._environments[name].until_described()

    def look_again(self, name: str) -> None:
        """Load the folders again in an environment with new workers, which may describe them differently."""
        with self._lock:
            loading = self._loading[name]
        if loading.done() and not loading.cancelled():
            self._load(name)
        self._known()

    def _tell(self) -> None:
        """Say which pipelines run where, once that is known of all."""
        loading = self._answers()
        if len(loading) <= len(self._environments) or not all(each.done() for each in loading.values()):
            return
        if any(each.cancelled() for each in loading.values()):
            return  # the server stops
        if self._is_tried_again(loading) or _is_killed(loading[OURS]):
            return
        catalogues = {name: each.result() for name, each in loading.items() if each.exception() is None}
        self._environments.assign(
            {
                **{
                    pipeline: environment
                    for catalogue in catalogues.values()
                    for pipeline, entry in catalogue.pipelines.items()
                    if (environment := self.environment_of(entry))
                },
                **self._chosen,
            }
        )
        self._known()

    def _is_tried_again(self, loading: Mapping[str, Future[Catalogue]]) -> bool:
        """Have loaded again what workers did not that were killed from outside, a few times.

        No pipeline begins before: one whose environment is not known would run in Orthanc's own Python. That one has
        to know them all, and a request has it loaded once more; without an environment's, the others are known.
        """
        killed = [name for name, each in loading.items() if _is_killed(each)]
        with self._lock:
            self._kills.update(killed)
            again = [name for name in killed if self._kills[name] < _TRIES]
        for name in again:
            with suppress(Busy):  # the server stops
                self._load_again(name, loading[name])
        return bool(again)

    def environment_of(self, pipeline: Mapping[str, Any]) -> str:
        """The name of a pipeline's environment: the configuration's choice, or the pipeline's own."""
        return self._chosen.get(str(pipeline["Name"])) or pipeline.get("Environment") or OURS

    def catalogue(self) -> Catalogue:
        """The catalogue. :raises Busy: not loaded. :raises UserCodeError: a file of the folders ends the process."""
        by_environment: dict[str, Catalogue] = {OURS: self._of(OURS)}
        failed: dict[str, str] = {}
        for name in self._environments:
            try:
                by_environment[name] = self._of(name)
            except Busy:
                raise
            except DerivedSeriesError as error:  # without them, no pipeline would be listed
                failed[name] = str(error)
        return merged(by_environment, failed, self.environment_of)

    def peek(self) -> Catalogue | None:
        """The catalogue if everything is loaded, without waiting or loading anything; else None."""
        loading = self._answers()
        if any(not each.done() or each.cancelled() for each in loading.values()) or loading[OURS].exception():
            return None
        known = {name: each.result() for name, each in loading.items() if each.exception() is None}
        return merged(known, dict.fromkeys(loading.keys() - known, "it cannot be used"), self.environment_of)

    def is_failed(self) -> bool:
        """Whether Orthanc's own Python could not load the folders, for a reason that would recur."""
        with self._lock:
            loading = self._loading[OURS]
        return loading.done() and not loading.cancelled() and _is_lasting(loading.exception())

    def failed_environments(self) -> list[str]:
        """The environments that could not describe their pipelines."""
        with self._lock:
            loading = dict(self._loading)
        return [
            name
            for name, each in loading.items()
            if name != OURS and each.done() and not each.cancelled() and each.exception() is not None
        ]

    def _of(self, name: str) -> Catalogue:
        for _ in range(_TRIES):
            loading = self._answers()[name]
            try:
                error = loading.exception(_LOADING_SECONDS)
            except (TimeoutError, CancelledError) as not_yet:
                raise Busy("the blueprint folders are still being loaded") from not_yet
            if error is None:
                return loading.result()
            if _is_lasting(error):
                raise self._failure(error)
            self._load_again(name, loading)
        raise Busy("the blueprint folders could not be loaded: each time the worker process was killed")

    def _failure(self, error: BaseException) -> DerivedSeriesError:
        """A new error for each caller, as an error that is raised repeatedly grows by its traceback."""
        folders = ", ".join(self._folders)
        if isinstance(error, WorkerDied):
            return UserCodeError(
                f"loading the blueprint folders ended the worker process ({error})",
                remedy=f"take the newest file out of {folders} and restart Orthanc",
            )
        if isinstance(error, DerivedSeriesError):
            return copy.copy(error)
        return UserCodeError(
            f"the blueprint folders could not be loaded: {described(error)}",
            remedy=f"Orthanc's log says where; take the newest file out of {folders} and restart Orthanc",
        )

    def _load_again(self, name: str, failed: Future[Catalogue]) -> None:
        with self._lock:
            is_ours = self._loading[name] is failed  # otherwise another request has loaded them
        if is_ours:
            self._load(name)


def _unexpected(error: BaseException) -> BaseException | None:
    """The error, where its traceback says more than its text."""
    return None if isinstance(error, DerivedSeriesError | WorkerDied) else error


def _is_killed(loading: Future[Catalogue]) -> bool:
    """Whether the worker that loaded the folders was killed from outside."""
    error = loading.exception()
    return error is not None and not _is_lasting(error)


def _is_lasting(error: BaseException | None) -> bool:
    """Whether loading the folders again would fail again, as it would not if only the worker was killed."""
    return error is not None and not (isinstance(error, WorkerDied) and error.is_from_outside)


def merged(
    catalogues: Mapping[str, Catalogue], failed: Mapping[str, str], environment_of: Callable[[Mapping[str, Any]], str]
) -> Catalogue:
    """The blueprints and factories of Orthanc's own Python, and each pipeline as described by the Python that runs it.

    :param catalogues: the catalogues by environment; :param failed: why others have none.
    """
    ours = catalogues[OURS]
    pipelines: dict[str, dict[str, Any]] = {}
    problems = [{"File": f"Environments: {name}", "Message": message} for name, message in failed.items()]
    served: dict[str, set[str]] = {}  # the files whose pipelines each environment runs
    for name, catalogue in catalogues.items():
        for pipeline, entry in catalogue.pipelines.items():
            environment = environment_of(entry)
            if environment == name:
                pipelines[pipeline] = {**entry, "Environment": environment or None}
                served.setdefault(name, set()).add(entry["File"])
            elif name == OURS:
                pipelines.setdefault(pipeline, {**entry, "Environment": environment})
                served.setdefault(environment, set()).add(entry["File"])
                if environment not in catalogues and environment not in failed:
                    message = f"the environment {environment!r} of pipeline {pipeline!r} is not in the configuration"
                    problems.append({"File": entry["File"], "Message": message})
    elsewhere = {file for name, files in served.items() if name != OURS for file in files}
    for problem in ours.problems:
        if _name(problem) not in elsewhere:
            others = [f"in the environment {name!r}: {text}" for name, text in _others(problem, catalogues).items()]
            problems.append({**problem, "Message": "; ".join([problem["Message"], *others])})
    for name, catalogue in catalogues.items():
        for problem in catalogue.problems if name != OURS else ():
            if _name(problem) in served.get(name, ()):
                message = f"in the environment {name!r}: {problem['Message']}"
                problems.append({**problem, "Message": message})
    return Catalogue(ours.blueprints, dict(sorted(pipelines.items())), ours.factories, problems)


def _name(problem: Mapping[str, Any]) -> str:
    return str(problem["File"]).rpartition("/")[2]


def _others(problem: Mapping[str, Any], catalogues: Mapping[str, Catalogue]) -> dict[str, str]:
    """What other Pythons say about a file that Orthanc's own cannot load, if they disagree."""
    messages_by_name = {}
    for name, catalogue in catalogues.items():
        messages = [each["Message"] for each in catalogue.problems if each["File"] == problem["File"]]
        if name != OURS and messages and messages[0] != problem["Message"]:
            messages_by_name[name] = messages[0]
    return messages_by_name
