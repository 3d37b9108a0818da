"""An attempt at a job, in a worker process: whatever happens, it ends as an outcome."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import remove_series
from derived_series.errors import Conflict, DerivedSeriesError, NotFound, UserCodeError
from derived_series.identifiers import series_uids_of
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.own_requests import marked
from derived_series.jobs.plain import LONGEST_CHARACTERS, text_of
from derived_series.jobs.pool.memory import memory_bound
from derived_series.jobs.scratch import without_scratch
from derived_series.jobs.work.log_lines import output_of, timed
from derived_series.jobs.work.progress import NotWanted, Progress
from derived_series.jobs.work.reporter import Reporter
from derived_series.user_code import described

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job while it is made.

    :param task: what the server has sent.
    :param client: requests to that server.
    :param progress: tells the server how far the attempt is.
    :param reporter: tells it what user code says.
    """

    task: DeriveTask
    client: Client
    progress: Progress
    reporter: Reporter

    @property
    def series_uids(self) -> tuple[str, ...]:
        """The SeriesInstanceUIDs that every attempt at the job gives to its series, output after output."""
        return series_uids_of(self.task.job_id)

    @property
    def context(self) -> BuildContext:
        """What is the same in every attempt: time, UIDs, SeriesNumber."""
        return BuildContext(self.task.now, self.task.job_id, reserved_series_number=self.task.series_number)

    def check_parents(self, inputs: Mapping[str, str] | None = None) -> None:
        """Ask for the series that the job reads: a result must not bring back a patient or a study that was deleted.

        :param inputs: the Orthanc identifiers of the inputs beside the parent, by name; those of the request when not
            given.
        :raises Conflict: naming what was deleted.
        """
        for what, series in self._parents(inputs):
            try:
                self.client.get_json(f"/series/{series}")
            except NotFound as error:
                raise Conflict(
                    f"{what} was deleted: there is no series {series} in Orthanc any more",
                    remedy="nothing was stored; send the series again and derive from it",
                ) from error

    def _parents(self, inputs: Mapping[str, str] | None) -> list[tuple[str, str]]:
        request = self.task.request
        others = request.get("Inputs", {}) if inputs is None else inputs
        named = [(f"the input {name!r}", series) for name, series in others.items()]
        return [("the series" if "Verdict" in request else "the parent", self.task.series), *named]


def make_attempt(task: DeriveTask, work: Callable[[Attempt], Outcome]) -> Outcome:
    """Do a job once. When it fails, nothing is left of its series, or the outcome says that something is.

    :param work: what is done; its errors are the outcome's.
    """
    with Client(task.connection) as client:
        reporter = Reporter(task.connection, task.progress_route, task.attempt)
        progress = Progress(client, task.progress_route, task.job_id, task.attempt)
        attempt = Attempt(task, client, progress, reporter)
        try:
            with (
                contextlib.closing(reporter),
                memory_bound(task.memory_limit),
                output_of(task.job_id, reporter.line),
                marked(task.job_id, task.connection.base_url),
            ):
                return _reported(attempt, work)
        except NotWanted as error:
            # Another attempt may be storing the same instances: hands off, the server removes what is left.
            return Outcome(error=Conflict(str(error)), clean=False)
        except DerivedSeriesError as error:
            failure = error
        except MemoryError:
            failure = UserCodeError(
                "the derivation needs more memory than a worker may have",
                remedy="raise WorkerMemoryMB in the configuration, or MemoryMB of the pipeline or of its environment",
            )
        except Exception as error:  # the one boundary of a worker process
            failure = DerivedSeriesError(f"internal error: {described(error)}")
            failure.__cause__ = error
        return _failed(attempt, _deletion(attempt) or failure)


def _reported(attempt: Attempt, work: Callable[[Attempt], Outcome]) -> Outcome:
    """Do the job; where the pipeline's code raises, the job's log shows the place."""
    try:
        return work(attempt)
    except UserCodeError as error:
        raised = error.__cause__
        if raised is not None and not isinstance(raised, DerivedSeriesError):
            for line in without_scratch(text_of(_trace(raised)), attempt.task.job_id).splitlines():
                attempt.reporter.line(timed(line))
        raise


def _failed(attempt: Attempt, failure: DerivedSeriesError) -> Outcome:
    if failure.http_status == 500:  # a fault of code, not of the request: the log shows where
        failure.add_note(_trace(failure))
    _make_plain(failure, attempt.task.job_id)
    if attempt.task.result is not None:  # the series is complete and stays
        return Outcome(result=attempt.task.result, error=failure)
    return Outcome(error=failure, clean=_is_removed(attempt), sent=attempt.client.has_sent_instances)


def _deletion(attempt: Attempt) -> Conflict | None:
    """What was deleted, as the error of an attempt that has failed for whatever came of it."""
    try:
        attempt.check_parents()
    except Conflict as conflict:
        return conflict
    except DerivedSeriesError:  # it cannot be asked: the attempt's own error tells more
        return None
    return None


def _is_removed(attempt: Attempt) -> bool:
    """Remove the attempt's partial series; False when that fails."""
    try:
        attempt.progress.check()
        remove_series(attempt.client, *attempt.series_uids)
    except NotWanted:  # another attempt may have stored them
        return False
    except DerivedSeriesError as error:
        _log.warning("job %s: its partial series could not be removed yet: %s", attempt.task.job_id, error)
        return False
    return True


def _trace(error: BaseException) -> str:
    """The traceback; of a long one, its beginning and its end."""
    text = "".join(traceback.format_exception(error))
    return (
        text
        if len(text) <= 2 * LONGEST_CHARACTERS
        else f"{text[:LONGEST_CHARACTERS]}\n...\n{text[-LONGEST_CHARACTERS:]}"
    )


def _make_plain(error: DerivedSeriesError, job_id: str) -> None:
    """Text in place of whatever user code gave an error of ours, so that it can be sent and written down."""
    error.message = without_scratch(text_of(error.message), job_id) or type(error).__name__
    error.remedy, error.details = (
        None if text is None else without_scratch(text_of(text), job_id) for text in (error.remedy, error.details)
    )
