"""Checks whether the pipeline of a run takes a series, in a worker with the Python that runs the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from typing import Any

from derived_series.dicomweb.client import Connection
from derived_series.errors import Busy
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.worker import WorkerDied
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.work.entry import fit_each
from derived_series.orthanc.catalogues import Catalogues
from derived_series.orthanc.waiters import answer_of

#: Seconds that a run waits for a worker, and for the answer of one that has begun: it may first have to load pipelines.
_WORKER_SECONDS, _ANSWER_SECONDS = 20.0, 120.0

#: The reason for skipping a series whose request is refused; the error itself may quote parameters.
NOT_TAKEN = "this version of the pipeline does not take the request"


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a look at a series.

    :param fits: None: unknown for now. :param reason: why it does not fit, without patient data.
    :param inputs: the series of its study that serve as other inputs, by name.
    """

    fits: bool | None
    reason: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


class Unanswered(Busy):
    """A check was begun, and took too long or ended its worker."""


class FitChecks:
    """Checks series for a pipeline; see ``fitting_each``."""

    def __init__(
        self,
        executor: Executor,
        environments: Environments,
        catalogues: Catalogues,
        connection: Connection,
        folders: tuple[str, ...],
    ):
        self._executor = executor
        self._environments = environments
        self._catalogues = catalogues
        self._connection = connection
        self._folders = folders

    def looks(self, series: Sequence[str], asked: DeriveRequest) -> list[Look]:
        """A look for each series, in order, for a run. Without a pipeline every series fits.

        A check that takes too long is ended.

        :raises Busy: no worker has time. :raises Unanswered: the check was begun, and one of the series is to blame.
        """
        future = self._check(series, asked)
        return [Look(True) for _ in series] if future is None else _looks(_patient_answer(future))

    def looks_of_page(self, series: Sequence[str], asked: DeriveRequest) -> list[Look]:
        """The same for somebody in front of a page. :raises Busy: no worker has answered in time."""
        future = self._check(series, asked)
        return [Look(True) for _ in series] if future is None else _looks(answer_of(future))

    def _check(self, series: Sequence[str], asked: DeriveRequest) -> Future[list[dict[str, Any]]] | None:
        """A check in the Python of the pipeline; None if none is needed, or only each job can find out."""
        if asked.pipeline is None:
            return None
        entry = self._catalogues.catalogue().pipelines.get(asked.pipeline, {"Name": asked.pipeline})
        environment = self._catalogues.environment_of(entry)
        arguments = (self._connection, list(series), self._folders, asked.pipeline)
        if environment in self._environments:
            return self._environments[environment].fit(fit_each, *arguments)
        return self._executor.submit(fit_each, *arguments)


def _looks(answers: list[dict[str, Any]]) -> list[Look]:
    return [Look(each["Fits"], each["Reason"], each["Inputs"]) for each in answers]


def _patient_answer(future: Future[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The answer of a check. :raises Busy, Unanswered: see ``FitChecks.looks``."""
    wait_for([future], _WORKER_SECONDS)
    if Future.cancel(future):  # it has not begun
        raise Busy("all workers are busy with derivations", retry_after=2)
    wait_for([future], _ANSWER_SECONDS)
    if not future.done():
        future.cancel()  # its worker is ended, which others need
        raise Unanswered(f"the check took over {_ANSWER_SECONDS:g} s")
    try:
        return future.result()
    except CancelledError as error:
        raise Busy("the workers are being stopped") from error
    except WorkerDied as death:
        if death.exit_code is None:
            raise Busy("no worker can be started", retry_after=2) from death
        raise Unanswered("the check has ended its worker") from death
