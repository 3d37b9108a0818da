"""Checks whether the pipeline of a run takes a series, in a worker with the Python that runs the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from derived_series.dicomweb.client import Connection
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.work.entry import fit_each
from derived_series.orthanc.catalogues import Catalogues
from derived_series.orthanc.waiters import answer_of

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
        """A look for each series, in order. Without a pipeline every series fits.

        :raises Busy: no worker has time.
        """
        if asked.pipeline is None:
            return [Look(True) for _ in series]
        entry = self._catalogues.catalogue().pipelines.get(asked.pipeline, {"Name": asked.pipeline})
        environment = self._catalogues.environment_of(entry)
        arguments = (self._connection, list(series), self._folders, asked.pipeline)
        if environment in self._environments:
            future = self._environments[environment].fit(fit_each, *arguments)
            if future is None:  # its workers are on other machines, so each job finds out
                return [Look(True) for _ in series]
        else:
            future = self._executor.submit(fit_each, *arguments)
        return [Look(each["Fits"], each["Reason"], each["Inputs"]) for each in answer_of(future)]
