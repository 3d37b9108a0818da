"""Whether the pipeline of a run takes a series: a worker looks, in the Python that runs the pipeline."""

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

#: Why a series is skipped whose request is refused; what is wrong with it may quote parameters.
NOT_TAKEN = "this version of the pipeline does not take the request"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a series has told.

    :param fits: None: nothing, for now. :param reason: why it does not fit; nothing of a patient.
    :param inputs: the series of its study that are taken as other inputs, by name.
    """

    fits: bool | None
    reason: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


class FitChecks:
    """Looks at series for a pipeline; see ``fitting_each``."""

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
        """A look at each series, in their order. Without a pipeline each one fits.

        :raises Busy: no worker has time.
        """
        if asked.pipeline is None:
            return [Look(True) for _ in series]
        entry = self._catalogues.catalogue().pipelines.get(asked.pipeline, {"Name": asked.pipeline})
        environment = self._catalogues.environment_of(entry)
        arguments = (self._connection, list(series), self._folders, asked.pipeline)
        if environment in self._environments:
            future = self._environments[environment].fit(fit_each, *arguments)
            if future is None:  # its workers are on other machines: each job finds out
                return [Look(True) for _ in series]
        else:
            future = self._executor.submit(fit_each, *arguments)
        return [Look(each["Fits"], each["Reason"], each["Inputs"]) for each in answer_of(future)]
